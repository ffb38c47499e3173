// What the kernels compute: argument structs without any code, and the table of functions that
// each vector unit fills in. All arrays are float32, C-ordered; sizes are counted in elements.

#pragma once

#include <cstddef>

namespace maskflownet {

constexpr int kDenseLayers = 5;
constexpr int kContextLayers = 7;
constexpr int kPyramidImages = 2;
constexpr int kPyramidLevels = 6;
constexpr int kPyramidSkipped = 1;  // fine levels whose features nobody asks for
constexpr int kPyramidFeatures = kPyramidLevels - kPyramidSkipped;
constexpr int kPyramidLayers = 3 * kPyramidLevels;

// What a convolution multiplies. Where there is a matrix unit: float32, which are left to the vectors;
// numbers split into two of 16 bits (errors of some 1e-5 of the largest value), as is a gradient's way
// back where this is float32; or numbers rounded to one. Elsewhere split means float32, and so does
// rounded but where the vectors multiply bf16.
enum Products : int { kFloat32, kSplit, kRounded };

// Cost volume of two feature maps, activated (LeakyReLU `slope`):
//   volume[n, (dy + m) * (2m + 1) + dx + m, y, x] =
//       leaky(mean over c of features1[n, c, y, x] * features2[n, c, y + dy, x + dx])
// for -m <= dy, dx <= m, with m = max_displacement (2 or 4) and zeros outside of features2.
struct CostVolume {
  long batch, channels, height, width;
  int max_displacement;
  float slope;
  const float* features1;  // (N, C, H, W)
  const float* features2;  // (N, C, H, W)
  float* volume;           // (N, (2m + 1)^2, H, W); read by the backward pass
  // Backward pass alone:
  const float* volume_gradient;
  float* features1_gradient;
  float* features2_gradient;
};

// A 3x3 deformable convolution (padding 1) whose nine taps share one offset. Where all taps fall well
// inside of the image, sampling and convolving can be exchanged:
//   result[:, y, x] = response sampled bilinearly at (y, x) + flow[:, y, x], plus bias,
// with response = the plain 3x3 convolution of features. Elsewhere each tap is sampled by itself, by
// MXNet's rule: a sample in [0, H) x [0, W) is bilinear, its far neighbours clamped to the image; any
// other is zero.
struct TiedDeform {
  long batch, channels, outputs, height, width;
  const float* features;  // (N, C, H, W)
  const float* flow;      // (N, 2, H, W), (y, x) in pixels
  const float* weight;    // (O, C, 3, 3)
  const float* bias;      // (O) or null
  float* result;          // (N, O, H, W)
  // Backward pass alone:
  const float* result_gradient;
  float* features_gradient;
  float* flow_gradient;
  float* weight_gradient;
  float* bias_gradient;
  float* workspace;  // 64-byte aligned
  Products products;
};

// The end of the matching module: result = leaky(matched * sigmoid(mask) + term).
struct TradeOff {
  long batch, channels, height, width;
  float slope;
  const float* matched;  // (N, C, H, W)
  const float* mask;     // (N, 1, H, W)
  const float* term;     // (N, C, H, W)
  float* result;         // (N, C, H, W); read by the backward pass
  // Backward pass alone:
  const float* result_gradient;
  float* matched_gradient;
  float* mask_gradient;
  float* term_gradient;
};

// Bilinear enlarging by a whole factor: cell k lies on pixel k * factor, the last row and column repeat.
struct Enlargement {
  long planes, height, width;  // of the cells
  long factor;
  const float* cells;  // (planes, H, W)
  float* result;       // (planes, H * factor, W * factor)
  // Backward pass alone:
  const float* result_gradient;
  float* cells_gradient;
};

// What training minimises, for each sample: the sum over levels of a weight times the mean, over known
// pixels, of the error of the level's flow, enlarged by the level's stride (see Enlargement). That is
// the end-point error sqrt(dy^2 + dx^2 + 1e-8), or with an exponent the robust one,
// (|dy| + |dx| + 1e-8)^exponent. Without a known pixel it is 0.
struct MultiscaleLoss {
  static constexpr int kMostLevels = 5;
  long batch, height, width, levels;
  float exponent;            // 0 for the end-point error
  long stride[kMostLevels];  // falling; height and width are multiples of each
  float weight[kMostLevels];
  const float* label;                    // (N, 2, H, W), in the predictions' order
  const float* valid;                    // (N, 1, H, W)
  const float* prediction[kMostLevels];  // (N, 2, H / stride, W / stride)
  float* loss;                           // (N)
  float* error;                          // (N), the end-point error of the last level
  // Backward pass alone:
  const float* loss_gradient;
  float* prediction_gradient[kMostLevels];
};

struct Layer {
  const float* weight;  // (O, C, 3, 3); for the up-convolution (C, O, 4, 4)
  const float* bias;    // (O)
  float* weight_gradient;
  float* bias_gradient;
  long outputs;
};

// A decoder level: five 3x3 convolutions with LeakyReLU, each of whose outputs is put in front of
// its input (128, 128, 96, 64, 32 channels in the networks); then, on all of that, the flow head,
// the mask head if there is one, and either the up-convolution (4x4, stride 2, LeakyReLU) or the
// context network (seven dilated 3x3 convolutions, LeakyReLU but for the last), whose result is
// added to the flow.
struct DenseBlock {
  static constexpr int kMostMaps = 8;
  long batch, height, width;
  float slope;
  int maps;  // the input is their concatenation
  const float* map[kMostMaps];      // (N, map_channels, H, W)
  float* map_gradient[kMostMaps];
  long map_channels[kMostMaps];
  Layer dense[kDenseLayers];
  Layer flow_head, mask_head, upfeat;  // of the latter two, all zero if there is none
  bool has_context;
  Layer context[kContextLayers];
  int dilation[kContextLayers];
  float* flow;  // (N, 2, H, W)
  float* mask;  // (N, 1, H, W)
  float* feat;  // (N, upfeat.outputs, 2H, 2W)
  // `dense_block_activations` floats, kept for the backward pass; null if there will be none.
  float* activations;
  const float* flow_gradient;
  const float* mask_gradient;
  const float* feat_gradient;
  float* workspace;  // 64-byte aligned
  Products products;
};

// The feature pyramids of two images: three 3x3 convolutions with LeakyReLU per level, the first of
// stride 2 (padding 1). A level's features are the output of its last one, (N, C, h, w), with
// h = ceil(H / 2^level). `features` are those of levels 2 to 6.
struct Pyramid {
  long batch, channels, height, width;  // of an image; up to 16 channels
  float slope;
  const float* image[kPyramidImages];  // (N, channels, H, W)
  Layer layer[kPyramidLayers];
  float* features[kPyramidImages][kPyramidFeatures];
  float* activations;  // `pyramid_activations` floats, kept for the backward pass; or null
  // Backward pass alone:
  const float* features_gradient[kPyramidImages][kPyramidFeatures];
  float* image_gradient[kPyramidImages];
  float* workspace;  // 64-byte aligned
  Products products;
};

struct Kernels {
  std::size_t (*cost_volume_workspace)(const CostVolume&, bool backward);  // floats
  void (*cost_volume_forward)(const CostVolume&, float* workspace);
  void (*cost_volume_backward)(const CostVolume&, float* workspace);
  std::size_t (*tied_deform_workspace)(const TiedDeform&, bool backward);
  void (*tied_deform_forward)(const TiedDeform&);
  void (*tied_deform_backward)(const TiedDeform&);
  void (*trade_off_forward)(const TradeOff&);
  void (*trade_off_backward)(const TradeOff&);
  std::size_t (*enlarge_workspace)(const Enlargement&, bool backward);
  void (*enlarge_forward)(const Enlargement&, float* workspace);
  void (*enlarge_backward)(const Enlargement&, float* workspace);
  std::size_t (*multiscale_loss_workspace)(const MultiscaleLoss&, bool backward);
  void (*multiscale_loss_forward)(const MultiscaleLoss&, float* workspace);
  void (*multiscale_loss_backward)(const MultiscaleLoss&, float* workspace);
  std::size_t (*dense_block_activations)(const DenseBlock&);
  std::size_t (*dense_block_workspace)(const DenseBlock&, bool backward);
  void (*dense_block_forward)(const DenseBlock&);
  void (*dense_block_backward)(const DenseBlock&);
  std::size_t (*pyramid_activations)(const Pyramid&);
  std::size_t (*pyramid_workspace)(const Pyramid&, bool backward);
  void (*pyramid_forward)(const Pyramid&);
  void (*pyramid_backward)(const Pyramid&);
};

extern const Kernels kAvx2;
extern const Kernels kAvx512;
// Where the compiler knows the instructions:
extern const Kernels kAvx512Bf16;
extern const Kernels kAmx;

}  // namespace maskflownet
