/* A stand-in for the library of NVIDIA's driver, for machines without one.
 *
 *     cc -shared -fPIC -DDRIVER=12040 -DINIT=0 -DGPUS='{"NVIDIA A10", 8, 6},' \
 *         -o libcuda.so.1 stand_in_driver.c
 *
 * DRIVER is the newest CUDA that it serves (1000 * major + 10 * minor), INIT what cuInit returns,
 * GPUS the name and compute capability of each GPU. It answers questions about these; what else
 * mxnet-cu112 links is there and fails. Names and numbers are those of NVIDIA's cuda.h.
 */
#include <stdio.h>

enum { SUCCESS = 0, INVALID_DEVICE = 101, NOT_SUPPORTED = 801 };
enum { COMPUTE_CAPABILITY_MAJOR = 75, COMPUTE_CAPABILITY_MINOR = 76 };

static const struct {
    const char *name;
    int major, minor;
} gpus[] = {GPUS {"the end", 0, 0}};

static const int gpu_count = sizeof gpus / sizeof *gpus - 1;

int cuInit(unsigned flags) { return INIT; }

int cuDriverGetVersion(int *version) {
    *version = DRIVER;
    return SUCCESS;
}

int cuDeviceGetCount(int *count) {
    *count = gpu_count;
    return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return 0 <= ordinal && ordinal < gpu_count ? SUCCESS : INVALID_DEVICE;
}

int cuDeviceGetName(char *name, int length, int device) {
    snprintf(name, length, "%s", gpus[device].name);
    return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    switch (attribute) {
    case COMPUTE_CAPABILITY_MAJOR: *value = gpus[device].major; return SUCCESS;
    case COMPUTE_CAPABILITY_MINOR: *value = gpus[device].minor; return SUCCESS;
    default: return NOT_SUPPORTED;
    }
}

int cuGetErrorString(int error, const char **text) {
    *text = "as it was told to";
    return SUCCESS;
}

#define FAILS(function) \
    int function(void) { return NOT_SUPPORTED; }

FAILS(cuDevicePrimaryCtxRetain)
FAILS(cuGraphKernelNodeGetParams)
FAILS(cuGraphNodeGetType)
FAILS(cuLaunchKernel)
FAILS(cuModuleGetFunction)
FAILS(cuModuleLoadData)
FAILS(cuModuleLoadDataEx)
FAILS(cuModuleUnload)
