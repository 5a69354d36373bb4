"""The names of torchvision's classification weights.

Written down, not asked for: importing torchvision takes as long as importing torch. A test compares.
"""

from __future__ import annotations

from typing import Literal

# fmt: off
KnownWeights = Literal[
    "ResNet18_Weights.IMAGENET1K_V1", "ResNet34_Weights.IMAGENET1K_V1", "ResNet50_Weights.IMAGENET1K_V1",
    "ResNet50_Weights.IMAGENET1K_V2", "ResNet101_Weights.IMAGENET1K_V1", "ResNet101_Weights.IMAGENET1K_V2",
    "ResNet152_Weights.IMAGENET1K_V1", "ResNet152_Weights.IMAGENET1K_V2", "ResNeXt50_32X4D_Weights.IMAGENET1K_V1",
    "ResNeXt50_32X4D_Weights.IMAGENET1K_V2", "ResNeXt101_32X8D_Weights.IMAGENET1K_V1",
    "ResNeXt101_32X8D_Weights.IMAGENET1K_V2", "ResNeXt101_64X4D_Weights.IMAGENET1K_V1",
    "Wide_ResNet50_2_Weights.IMAGENET1K_V1", "Wide_ResNet50_2_Weights.IMAGENET1K_V2",
    "Wide_ResNet101_2_Weights.IMAGENET1K_V1", "Wide_ResNet101_2_Weights.IMAGENET1K_V2",
    "AlexNet_Weights.IMAGENET1K_V1", "VGG11_Weights.IMAGENET1K_V1", "VGG11_BN_Weights.IMAGENET1K_V1",
    "VGG13_Weights.IMAGENET1K_V1", "VGG13_BN_Weights.IMAGENET1K_V1", "VGG16_Weights.IMAGENET1K_V1",
    "VGG16_Weights.IMAGENET1K_FEATURES", "VGG16_BN_Weights.IMAGENET1K_V1", "VGG19_Weights.IMAGENET1K_V1",
    "VGG19_BN_Weights.IMAGENET1K_V1", "DenseNet121_Weights.IMAGENET1K_V1", "DenseNet161_Weights.IMAGENET1K_V1",
    "DenseNet169_Weights.IMAGENET1K_V1", "DenseNet201_Weights.IMAGENET1K_V1", "GoogLeNet_Weights.IMAGENET1K_V1",
    "Inception_V3_Weights.IMAGENET1K_V1", "MobileNet_V2_Weights.IMAGENET1K_V1", "MobileNet_V2_Weights.IMAGENET1K_V2",
    "MobileNet_V3_Small_Weights.IMAGENET1K_V1", "MobileNet_V3_Large_Weights.IMAGENET1K_V1",
    "MobileNet_V3_Large_Weights.IMAGENET1K_V2", "SqueezeNet1_0_Weights.IMAGENET1K_V1",
    "SqueezeNet1_1_Weights.IMAGENET1K_V1", "MNASNet0_5_Weights.IMAGENET1K_V1", "MNASNet0_75_Weights.IMAGENET1K_V1",
    "MNASNet1_0_Weights.IMAGENET1K_V1", "MNASNet1_3_Weights.IMAGENET1K_V1",
    "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1", "ShuffleNet_V2_X1_0_Weights.IMAGENET1K_V1",
    "ShuffleNet_V2_X1_5_Weights.IMAGENET1K_V1", "ShuffleNet_V2_X2_0_Weights.IMAGENET1K_V1",
    "EfficientNet_B0_Weights.IMAGENET1K_V1", "EfficientNet_B1_Weights.IMAGENET1K_V1",
    "EfficientNet_B1_Weights.IMAGENET1K_V2", "EfficientNet_B2_Weights.IMAGENET1K_V1",
    "EfficientNet_B3_Weights.IMAGENET1K_V1", "EfficientNet_B4_Weights.IMAGENET1K_V1",
    "EfficientNet_B5_Weights.IMAGENET1K_V1", "EfficientNet_B6_Weights.IMAGENET1K_V1",
    "EfficientNet_B7_Weights.IMAGENET1K_V1", "EfficientNet_V2_S_Weights.IMAGENET1K_V1",
    "EfficientNet_V2_M_Weights.IMAGENET1K_V1", "EfficientNet_V2_L_Weights.IMAGENET1K_V1",
    "RegNet_X_400MF_Weights.IMAGENET1K_V1", "RegNet_X_400MF_Weights.IMAGENET1K_V2",
    "RegNet_X_800MF_Weights.IMAGENET1K_V1", "RegNet_X_800MF_Weights.IMAGENET1K_V2",
    "RegNet_X_1_6GF_Weights.IMAGENET1K_V1", "RegNet_X_1_6GF_Weights.IMAGENET1K_V2",
    "RegNet_X_3_2GF_Weights.IMAGENET1K_V1", "RegNet_X_3_2GF_Weights.IMAGENET1K_V2",
    "RegNet_X_8GF_Weights.IMAGENET1K_V1", "RegNet_X_8GF_Weights.IMAGENET1K_V2", "RegNet_X_16GF_Weights.IMAGENET1K_V1",
    "RegNet_X_16GF_Weights.IMAGENET1K_V2", "RegNet_X_32GF_Weights.IMAGENET1K_V1",
    "RegNet_X_32GF_Weights.IMAGENET1K_V2", "RegNet_Y_400MF_Weights.IMAGENET1K_V1",
    "RegNet_Y_400MF_Weights.IMAGENET1K_V2", "RegNet_Y_800MF_Weights.IMAGENET1K_V1",
    "RegNet_Y_800MF_Weights.IMAGENET1K_V2", "RegNet_Y_1_6GF_Weights.IMAGENET1K_V1",
    "RegNet_Y_1_6GF_Weights.IMAGENET1K_V2", "RegNet_Y_3_2GF_Weights.IMAGENET1K_V1",
    "RegNet_Y_3_2GF_Weights.IMAGENET1K_V2", "RegNet_Y_8GF_Weights.IMAGENET1K_V1",
    "RegNet_Y_8GF_Weights.IMAGENET1K_V2", "RegNet_Y_16GF_Weights.IMAGENET1K_V1",
    "RegNet_Y_16GF_Weights.IMAGENET1K_V2", "RegNet_Y_16GF_Weights.IMAGENET1K_SWAG_E2E_V1",
    "RegNet_Y_16GF_Weights.IMAGENET1K_SWAG_LINEAR_V1", "RegNet_Y_32GF_Weights.IMAGENET1K_V1",
    "RegNet_Y_32GF_Weights.IMAGENET1K_V2", "RegNet_Y_32GF_Weights.IMAGENET1K_SWAG_E2E_V1",
    "RegNet_Y_32GF_Weights.IMAGENET1K_SWAG_LINEAR_V1", "RegNet_Y_128GF_Weights.IMAGENET1K_SWAG_E2E_V1",
    "RegNet_Y_128GF_Weights.IMAGENET1K_SWAG_LINEAR_V1", "ConvNeXt_Tiny_Weights.IMAGENET1K_V1",
    "ConvNeXt_Small_Weights.IMAGENET1K_V1", "ConvNeXt_Base_Weights.IMAGENET1K_V1",
    "ConvNeXt_Large_Weights.IMAGENET1K_V1", "ViT_B_16_Weights.IMAGENET1K_V1",
    "ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1", "ViT_B_16_Weights.IMAGENET1K_SWAG_LINEAR_V1",
    "ViT_B_32_Weights.IMAGENET1K_V1", "ViT_L_16_Weights.IMAGENET1K_V1", "ViT_L_16_Weights.IMAGENET1K_SWAG_E2E_V1",
    "ViT_L_16_Weights.IMAGENET1K_SWAG_LINEAR_V1", "ViT_L_32_Weights.IMAGENET1K_V1",
    "ViT_H_14_Weights.IMAGENET1K_SWAG_E2E_V1", "ViT_H_14_Weights.IMAGENET1K_SWAG_LINEAR_V1",
    "MaxVit_T_Weights.IMAGENET1K_V1", "Swin_T_Weights.IMAGENET1K_V1", "Swin_S_Weights.IMAGENET1K_V1",
    "Swin_B_Weights.IMAGENET1K_V1", "Swin_V2_T_Weights.IMAGENET1K_V1", "Swin_V2_S_Weights.IMAGENET1K_V1",
    "Swin_V2_B_Weights.IMAGENET1K_V1",
]
# fmt: on
