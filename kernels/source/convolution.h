// A 3x3 convolution and its kernel's gradient: with the processor's matrix unit where this is compiled
// for one, else by Winograd's algorithm. Both define
//
//   Pieces(extent, dilation, memory)      how the images are divided among threads
//   pieces_room(extent, most_dilation)    floats for ConvolutionWork's parts, with
//   kernel_room(inputs, outputs)              channels padded to multiples of kLane;
//   thread_room(extent, most_dilation, outputs)      per thread
//   gradients_room(extent, most_dilation, outputs)
//   convolve(extent, pieces, in, kernel, result, out, work)
//       out = the convolution of `in`
//   convolution_weight_gradient(extent, pieces, in, in_channels, out_gradient, out_channels,
//                               weight_gradient, work)
//       writes weight_gradient (outputs, inputs, 3, 3), given an input and the output's gradient

#pragma once

#ifdef __AMX_BF16__
#include "matrix_convolution.h"
#else
#include "winograd_convolution.h"
#endif
