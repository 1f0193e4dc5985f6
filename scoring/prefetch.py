"""Ask the processor for a record before it is needed: a million sensors in random order miss every cache.

`prefetch(array, index)` starts the load of `array[index]` and waits for nothing. It changes no value.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _build(typing_context: Any, array: Any, index: Any) -> Any:
    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type = signature.args[0]
        data = context.make_array(array_type)(context, builder, arguments[0]).data
        size = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
        offset = builder.mul(arguments[1], context.get_constant(types.intp, size))
        tools: Any = cgutils
        pointer = tools.pointer_add(builder, data, offset, ir.IntType(8).as_pointer())
        i32 = ir.IntType(32)
        name = "llvm.prefetch.p0" if _opaque(pointer) else "llvm.prefetch.p0i8"
        declared = ir.FunctionType(ir.VoidType(), [pointer.type, i32, i32, i32])
        fetch = tools.get_or_insert_function(builder.module, declared, name)
        builder.call(fetch, [pointer, i32(1), i32(3), i32(1)])  # to write, keep close, data
        return context.get_dummy_value()

    return types.void(array, types.intp), lower


def _opaque(pointer: Any) -> bool:
    return bool(getattr(pointer.type, "is_opaque", False))


def _nothing(array: Any, index: Any) -> None:
    return None


prefetch: Any = _nothing if getattr(numba.config, "DISABLE_JIT", 0) else intrinsic(_build)
