// SPDX-License-Identifier: Apache-2.0
//
// What is normalized in practice: rows x cols, whose it is, and whether --quick runs it.
//
// Models: BERT-base and ViT-B have 768 features, MiniLM 384, ViT-L 1024, Whisper tiny, base and
// large 384, 512 and 1280 over 1,500 frames, SmolLM2 576, Llama (7B, 8B) 4096, ResNet-50 64 to 2048
// channels on 112^2 to 7^2 places an image. "benchdnn" are the dimensions that oneDNN's own
// benchmark is fed with: outer x inner of its layer norms; batch x places by channels of its batch
// norms, here as [N, C] rows.
#pragma once

#include <cstddef>

namespace bench {

struct shape {
  std::size_t rows, cols;
  const char* whose;
  bool quick = false;
};

inline constexpr shape layer_norm_shapes[] = {
    {15, 3, "benchdnn, tiny"},
    {1, 384, "MiniLM, one token", true},
    {1, 768, "BERT-base, one token", true},
    {64, 64, "ViT, 64 heads of size 64"},
    {8, 384, "MiniLM, 8 tokens", true},
    {30, 300, "benchdnn"},
    {31, 301, "benchdnn, odd"},
    {16, 768, "BERT-base, 16 tokens", true},
    {128, 384, "MiniLM, 128 tokens"},
    {128, 768, "BERT-base, 128 tokens", true},
    {128, 1024, "benchdnn"},
    {197, 768, "ViT-B/16, one image", true},
    {197, 1024, "ViT-L/16, one image"},
    {257, 768, "benchdnn"},
    {1500, 384, "Whisper tiny, 30 s of speech"},
    {1500, 512, "Whisper base, 30 s of speech"},
    {1500, 1280, "Whisper large, 30 s of speech"},
    {1920, 512, "benchdnn, 64 x 30 x 512"},
    {1536, 1024, "benchdnn, 6 x 2 x 128 x 1024"},
    {4096, 768, "BERT-base, 32 x 128 tokens", true},
    {5120, 1024, "benchdnn, 128 x 40 x 1024"},
    {8192, 8192, "256 MiB in, 256 MiB out", true},
};

inline constexpr shape rms_norm_shapes[] = {
    {1, 576, "SmolLM2, one token", true}, {1, 4096, "Llama, one token", true},      {8, 576, "SmolLM2, 8 tokens"},
    {16, 4096, "Llama, 16 tokens", true}, {128, 576, "SmolLM2, 128 tokens", true},  {512, 576, "SmolLM2, 512 tokens"},
    {128, 4096, "Llama, 128 tokens"},     {2048, 4096, "Llama, 2048 tokens", true},
};

inline constexpr shape l2_norm_shapes[] = {
    {128, 768, "128 sentence embeddings", true},
    {4096, 384, "4096 MiniLM embeddings"},
    {2048, 64, "queries of 64"},
};

inline constexpr shape add_norm_shapes[] = {
    {128, 768, "BERT-base, 128 tokens", true},
    {4096, 768, "BERT-base, 32 x 128 tokens"},
};
inline constexpr shape fused_norm_shapes[] = {{128, 768, "128 tokens of 768 features", true}};
inline constexpr shape head_shapes[] = {{512 * 32, 128, "QK norm of 512 tokens, 32 heads of 128", true}};
inline constexpr shape other_head_shapes[] = {{512 * 32, 128, "512 tokens, 32 heads of 128"}};

// Two bytes an element: beside f32 in L1, L2, L3 and memory.
inline constexpr shape half_shapes[] = {
    {16, 768, "BERT-base, 16 tokens"},
    {128, 768, "BERT-base, 128 tokens", true},
    {4096, 768, "BERT-base, 32 x 128 tokens"},
    {2048, 4096, "Llama, 2048 tokens"},
    {8192, 8192, "128 MiB in, 128 MiB out as halves", true},
};

inline constexpr shape half_column_shapes[] = {
    {784, 128, "ResNet-50 stage 3, one image"},
    {12544, 64, "ResNet-50 conv1, one image"},
    {65536, 64, "64 Ki rows of 64"},
    {65536, 256, "32 MiB in, 32 MiB out as halves", true},
};

// Eight bytes an element, in L1, L2 and memory.
inline constexpr shape double_shapes[] = {
    {16, 768, "16 x 768 doubles"},
    {128, 768, "128 x 768 doubles", true},
    {4096, 768, "4096 x 768 doubles"},
    {2048, 4096, "64 MiB in, 64 MiB out as doubles", true},
};

// Groups of 8 channels: of 8 samples of 64 channels, 56 x 56; of 32 of 14 x 14.
inline constexpr shape double_group_shapes[] = {
    {64, 25088, "64 x 25088 doubles"},
    {256, 1568, "256 x 1568 doubles"},
};

inline constexpr shape double_column_shapes[] = {
    {784, 128, "784 x 128 doubles"},
    {12544, 64, "12544 x 64 doubles"},
};

inline constexpr shape batch_norm_training_shapes[] = {
    {32, 128, "a batch of 32, 128 features", true},
    {224, 27, "benchdnn, 32 x 27 x 7"},
    {320, 128, "benchdnn, 32 x 128 x 10"},
    {49, 2048, "ResNet-50 stage 5, one image", true},
    {196, 1024, "ResNet-50 stage 4, one image", true},
    {784, 257, "benchdnn, 257 x 28^2"},
    {784, 512, "ResNet-50 stage 3, one image"},
    {3136, 256, "ResNet-50 stage 2, one image", true},
    {12544, 64, "ResNet-50 conv1, one image", true},
    {2450, 2048, "ResNet-50 stage 5, 50 images"},
    {9800, 1024, "ResNet-50 stage 4, 50 images"},
    {156800, 64, "ResNet-50 stage 2, 50 images"},
};

inline constexpr shape batch_norm_inference_shapes[] = {
    {32, 128, "a batch of 32, 128 features", true},     {49, 512, "ResNet-50 stage 5, one image", true},
    {196, 256, "ResNet-50 stage 4, one image"},         {784, 128, "ResNet-50 stage 3, one image"},
    {3136, 64, "ResNet-50 stage 2, one image", true},   {12544, 64, "ResNet-50 conv1, one image"},
    {9800, 1024, "ResNet-50 stage 4, 50 images", true},
};

inline constexpr shape column_moments_shapes[] = {
    {1024, 16, "a small table", true},
    {10000, 30, "a table of 30 features"},
    {1024, 1024, "1024 features", true},
    {65536, 64, "65536 samples of 64 features", true},
};

inline constexpr shape standardize_shapes[] = {
    {150, 4, "Iris: 150 samples of 4 features"},
    {1024, 16, "a small table", true},
    {10000, 30, "a table of 30 features"},
    {1024, 4096, "1024 samples of 4096 features"},
    {65536, 64, "65536 samples of 64 features", true},
};

inline constexpr shape transform_shapes[] = {
    {1024, 16, "a small table"},
    {10000, 30, "a table of 30 features"},
};

// Masks in all their forms, each beside the whole.
inline constexpr shape masked_row_shapes[] = {{128, 768, "128 rows of 768 features, whole and masked in every form"}};
inline constexpr shape quick_masked_row_shapes[] = {
    {128, 768, "128 rows of 768 features, whole and masked in every form", true}};
inline constexpr shape masked_column_shapes[] = {
    {4096, 64, "4096 rows of 64 features, whole and masked in every form"}};

inline constexpr shape training_add_shapes[] = {{3136, 256, "ResNet-50 stage 2, one image"}};

inline constexpr shape accumulator_shapes[] = {{65536, 64, "65536 samples of 64 features, 1000 at a time"}};
inline constexpr shape gaps_shapes[] = {{65536, 64, "65536 samples of 64 features"}};

// bench/run --peers: one token to a long batch, then columns one off from each power of two, where
// every row but the first is unaligned and ends in a remainder.
inline constexpr shape peer_row_shapes[] = {
    {1, 16, "", true},
    {1, 64, ""},
    {8, 64, ""},
    {1, 768, "", true},
    {16, 768, "", true},
    {128, 768, "", true},
    {512, 768, ""},
    {4096, 768, "", true},
    {128, 64, ""},
    {4096, 64, "", true},
    {4096, 128, ""},
    {512, 1024, ""},
    {2048, 4096, ""},
    {16, 4096, "", true},
    {1, 4096, ""},
    {1, 65536, ""},
    {8192, 8192, ""},
    {2048, 333, "", true},
    {2048, 1000, ""},
    {2048, 5, ""},
    {1, 15, "one off a power of two"},
    {1, 17, "one off a power of two"},
    {4096, 63, "one off a power of two"},
    {4096, 65, "one off a power of two", true},
    {4096, 127, "one off a power of two"},
    {4096, 129, "one off a power of two"},
    {512, 1023, "one off a power of two"},
    {512, 1025, "one off a power of two"},
    {16, 4095, "one off a power of two"},
    {16, 4097, "one off a power of two"},
    {1, 65535, "one off a power of two"},
    {1, 65537, "one off a power of two"},
    {1024, 8191, "one off a power of two"},
    {1024, 8193, "one off a power of two"},
};
inline constexpr shape peer_batch_norm_shapes[] = {
    {256, 64, "", true}, {4096, 256, "", true}, {65536, 64, ""}, {1024, 4096, "", true}};
inline constexpr shape peer_scaling_shapes[] = {{65536, 64, "", true}, {1024, 4096, ""}};
inline constexpr shape peer_add_norm_shapes[] = {
    {16, 768, ""}, {128, 768, "", true}, {4096, 768, ""}, {128, 4096, ""}, {2048, 4096, ""}};

// [batch, channels, side, side]: ResNet-50's stages at a batch of 32, and one image.
struct tensor_shape {
  std::size_t batch, channels, side;
  const char* whose;
  bool quick = false;
};
inline constexpr tensor_shape channel_shapes[] = {
    {32, 64, 56, "32x64x56x56: ResNet-50 stage 2, 32 images", true},
    {32, 256, 14, "32x256x14x14: stage 4, 32 images"},
    {32, 512, 7, "32x512x7x7: stage 5, 32 images"},
};
inline constexpr tensor_shape group_shapes[] = {
    {8, 320, 32, "8x320x32x32 in 32 groups: a U-Net of Stable Diffusion", true},
    {32, 256, 14, "32x256x14x14 in 32 groups"},
};
inline constexpr tensor_shape masked_channel_shapes[] = {
    {8, 64, 28, "8x64x28x28, whole and masked in every form"},
    {32, 64, 56, "32x64x56x56, the same from memory"},
};
inline constexpr tensor_shape channels_last_shape{8, 128, 28, "8x128x28x28 in 32 groups: channels are contiguous"};
inline constexpr tensor_shape peer_channel_shapes[] = {
    {32, 64, 56, "ResNet-50 stage 2, 32 images"}, {1, 64, 112, "ResNet-50 conv1, one image"},
    {8, 128, 28, "ResNet-50 stage 3, 8 images"},  {8, 256, 14, "ResNet-50 stage 4, 8 images", true},
    {16, 512, 7, "ResNet-50 stage 5, 16 images"},
};
inline constexpr tensor_shape peer_group_shapes[] = {
    {8, 64, 56, "32 groups"},
    {2, 320, 64, "32 groups: a U-Net of Stable Diffusion"},
    {8, 256, 14, "32 groups", true},
    {2, 1280, 8, "32 groups: the U-Net's deepest level"},
};
inline constexpr tensor_shape peer_instance_shapes[] = {
    {8, 64, 56, ""},
    {1, 128, 128, "style transfer, one image of 512x512"},
    {8, 256, 14, "", true},
};

// The statistics algorithms side by side.
inline constexpr shape row_statistics_shape{32, 4096, "LayerNorm built on each algorithm, rows of 4096", true};
inline constexpr shape column_statistics_shape{4096, 64, "the columns of 4096 samples, by each algorithm", true};

// Padding: 32 sentences of up to 100 tokens; the longest has 100, the others about 30.
inline constexpr std::size_t masked_batch = 32, masked_tokens = 100, masked_features = 768;

}  // namespace bench
