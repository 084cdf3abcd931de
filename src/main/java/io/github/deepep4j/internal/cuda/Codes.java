package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.Quantization;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.tensor.DType;
import org.jspecify.annotations.Nullable;

/** The API's enums as the native library's codes. */
final class Codes {
  private Codes() {}

  static int order(RowOrder order) {
    return order == RowOrder.RANK_MAJOR ? Abi.RANK_MAJOR : Abi.EXPERT_MAJOR;
  }

  static int dtype(DType rows) {
    return rows == DType.BF16 ? Abi.BF16 : Abi.FP8_E4M3;
  }

  static int cast(@Nullable Quantization quantization) {
    if (quantization == null) {
      return Abi.CAST_NONE;
    }
    return switch (quantization) {
      case PLAIN -> Abi.CAST_PLAIN;
      case ROUNDED -> Abi.CAST_ROUNDED;
      case UE8M0 -> Abi.CAST_UE8M0;
    };
  }
}
