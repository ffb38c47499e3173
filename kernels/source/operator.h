// What the operators share: the kernels of the vector unit that runs, attributes, working memory.

#pragma once

#include <cpuid.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <locale>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <sstream>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels.h"
#include "mxnet/lib_api.h"

using mxnet::ext::MXReturnValue;
using mxnet::ext::MXTensor;
using mxnet::ext::OpResource;
using Attributes = std::unordered_map<std::string, std::string>;
using Tensors = std::vector<MXTensor>*;
using Shape = std::vector<unsigned int>;
using Shapes = std::vector<Shape>;

// Null where the compiler does not know their instructions.
extern const maskflownet::Kernels maskflownet::kAvx512Bf16 __attribute__((weak));
extern const maskflownet::Kernels maskflownet::kAmx __attribute__((weak));

namespace {

// oneDNN, MXNet's library for convolutions, can be limited to older instructions by this variable;
// the same limit holds here, so that the two can be compared. Any other value is no limit.
bool allowed(const std::string& unit) {
  const char* limit = std::getenv("DNNL_MAX_CPU_ISA");
  if (!limit) return true;
  const std::string most(limit);
  if (most == "SSE41" || most == "AVX") return false;
  if (most.rfind("AVX2", 0) == 0) return unit == "avx2";
  if (most.rfind("AVX512", 0) != 0 || most.find("AMX") != std::string::npos) return true;
  return unit != "amx" && (unit != "avx512_bf16" || most.find("BF16") != std::string::npos);
}

// A bit of what the processor says of its extended features.
enum class Register { eax, edx };
bool has_feature(unsigned leaf, Register where, int bit) {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, leaf, &a, &b, &c, &d)) return false;
  return ((where == Register::eax ? a : d) >> bit & 1) != 0;
}

bool may_use_avx512_bf16() {
  return &maskflownet::kAvx512Bf16 && has_feature(1, Register::eax, 5);
}

// Whether the processor has AMX for bf16, and the system lets this process use it: it saves eight
// kilobytes more for each thread, and asks to be asked.
bool may_use_amx() {
  if (!&maskflownet::kAmx || !has_feature(1, Register::eax, 5)) return false;
  if (!has_feature(0, Register::edx, 22) || !has_feature(0, Register::edx, 24)) return false;
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

const char* choose_unit() {
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (avx2 && avx512) {
    if (allowed("amx") && may_use_amx()) return "amx";
    if (allowed("avx512_bf16") && may_use_avx512_bf16()) return "avx512_bf16";
    if (allowed("avx512")) return "avx512";
  }
  return avx2 && allowed("avx2") ? "avx2" : "";
}

// Null if the unit was not compiled.
const maskflownet::Kernels* kernels_of(const std::string& unit) {
  if (unit == "amx") return &maskflownet::kAmx;
  if (unit == "avx512_bf16") return &maskflownet::kAvx512Bf16;
  return unit == "avx512" ? &maskflownet::kAvx512 : &maskflownet::kAvx2;
}

// What the operators run on: chosen when the first of them runs.
const std::string& unit_in_use() {
  static const std::string& chosen = *new std::string(choose_unit());
  return chosen;
}

const maskflownet::Kernels& kernels() {
  static const maskflownet::Kernels& chosen = *kernels_of(unit_in_use());
  return chosen;
}

double number(const Attributes& attributes, const char* name, double otherwise) {
  const auto found = attributes.find(name);
  if (found == attributes.end()) return otherwise;
  // Not std::stod: in some languages' locales it reads 0.1 as 0.
  std::istringstream text(found->second);
  text.imbue(std::locale::classic());
  double value = otherwise;
  text >> value;
  return value;
}

int integer(const Attributes& attributes, const char* name, int otherwise) {
  return static_cast<int>(number(attributes, name, otherwise));
}

maskflownet::Products products_of(const Attributes& attributes) {
  return static_cast<maskflownet::Products>(integer(attributes, "products", maskflownet::kFloat32));
}

MXReturnValue all_float32(const Attributes&, std::vector<int>* inputs, std::vector<int>* outputs) {
  for (int& type : *inputs) type = mxnet::ext::kFloat32;
  for (int& type : *outputs) type = mxnet::ext::kFloat32;
  return MXReturnValue::MX_SUCCESS;
}

bool all_known(const Shapes& shapes) {
  for (const Shape& shape : shapes)
    if (shape.empty()) return false;
  return true;
}

MXReturnValue fail(const std::string& message) {
  MX_ERROR_MSG << message;
  return MXReturnValue::MX_FAIL;
}

std::string no_gradient(const std::string& name) {
  return name +
         ": a network whose parameters are all frozen has no gradients here; leave one of them to "
         "be trained, or use MXNet's own operators (kernels='builtin')";
}

// Memory of our own, on fewer and larger pages where the system has them.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  virtual ~Memory() { std::free(own_); }

  virtual void take(std::size_t floats) {
    bytes_ = whole_pages(floats);
    own_ = std::aligned_alloc(kHugePage, bytes_);
    if (!own_) throw std::bad_alloc();
    madvise(own_, bytes_, MADV_HUGEPAGE);  // without them it works too
  }
  float* floats() const { return static_cast<float*>(own_); }

 protected:
  static constexpr std::size_t kHugePage = 2 << 20;
  static std::size_t whole_pages(std::size_t floats) {
    return (floats * sizeof(float) / kHugePage + 1) * kHugePage;
  }
  void* own_ = nullptr;
  std::size_t bytes_ = 0;
};

// Memory that the next one of the same size uses again, so that the system need not clear it in
// every step of a training. If the sizes change, what was held is given back.
class HeldMemory : public Memory {
 public:
  ~HeldMemory() override {
    if (!own_) return;
    const std::lock_guard<std::mutex> lock(held().mutex);
    held().free.emplace(bytes_, own_);
    own_ = nullptr;
  }

  void take(std::size_t floats) override {
    const std::size_t bytes = whole_pages(floats);
    if (own_ && bytes_ == bytes) return;  // a graph with static_alloc makes the same call again
    std::free(own_);
    own_ = nullptr;
    {
      const std::lock_guard<std::mutex> lock(held().mutex);
      auto& free = held().free;
      const auto found = free.find(bytes);
      if (found != free.end()) {
        bytes_ = bytes;
        own_ = found->second;
        free.erase(found);
        return;
      }
      for (auto& [size, memory] : free) std::free(memory);
      free.clear();
    }
    Memory::take(floats);
  }

 private:
  struct Held {
    std::mutex mutex;
    std::multimap<std::size_t, void*> free;
  };
  static Held& held() {
    static Held& all = *new Held;  // never destroyed: calls may outlive any other static
    return all;
  }
};

// Memory that one call after another uses, each for itself; one piece is kept between calls. Until
// it is used again the system may take its pages, and counts them as available (MADV_FREE). It stands
// beside the arrays of what runs between the calls, so the C library gives back what it holds of
// those that are freed.
class SharedMemory : public Memory {
 public:
  ~SharedMemory() override {
    if (!own_) return;
    madvise(own_, bytes_, MADV_FREE);
    const std::lock_guard<std::mutex> lock(kept().mutex);
    if (bytes_ > kept().bytes) kept().swap(own_, bytes_);
  }

  void take(std::size_t floats) override {
    const std::size_t bytes = whole_pages(floats);
    malloc_trim(0);
    {
      const std::lock_guard<std::mutex> lock(kept().mutex);
      kept().swap(own_, bytes_);
      if (bytes_ >= bytes) return;
    }
    std::free(own_);
    own_ = nullptr;
    Memory::take(floats);
  }

 private:
  struct Kept {
    std::mutex mutex;
    void* memory = nullptr;
    std::size_t bytes = 0;

    void swap(void*& other, std::size_t& other_bytes) {
      std::swap(memory, other);
      std::swap(bytes, other_bytes);
    }
  };
  static Kept& kept() {
    static Kept& all = *new Kept;  // never destroyed: calls may outlive any other static
    return all;
  }
};

// Memory for one call, aligned to cache lines. A small one is MXNet's, which the next call uses
// again.
class Workspace {
 public:
  Workspace(std::size_t floats, const OpResource& resource) {
    std::size_t space = floats * sizeof(float) + kLine;
    if (space < kLarge) {
      void* memory = resource.alloc_cpu(static_cast<int>(space));
      aligned_ = static_cast<float*>(std::align(kLine, floats * sizeof(float), memory, space));
    } else {
      large_.take(floats);
      aligned_ = large_.floats();
    }
  }
  float* floats() const { return aligned_; }

 private:
  static constexpr std::size_t kLine = 64, kLarge = 128 << 20;
  SharedMemory large_;
  float* aligned_;
};

// One call of an operator, forward and, if there is one, backward, which share the activations
// (`keep`). MXNet knows nothing of these: for an output it would make a gradient of zeros, as large
// again.
class Call : public mxnet::ext::CustomStatefulOp {
 public:
  explicit Call(const Attributes& attributes) : attributes_(attributes) {}

 protected:
  const Attributes attributes_;
  HeldMemory activations_;
};

template <class Own>
MXReturnValue make_call(const Attributes& attributes, const mxnet::ext::MXContext&,
                        const std::vector<Shape>&, const std::vector<int>,
                        mxnet::ext::CustomStatefulOp** made) {
  *made = mxnet::ext::CustomStatefulOp::create<Own>(attributes);
  return MXReturnValue::MX_SUCCESS;
}

}  // namespace
