import CKernels

extension Matrix {
    /// Whether no element is infinite or NaN; one pass over the elements.
    public var isFinite: Bool {
        for row in 0..<rows {
            let values = UnsafeBufferPointer(start: pointer + row * stride, count: columns)
            if firstNonFinite(values) != nil { return false }
        }
        return true
    }
}

extension StoredTensor {
    /// The first element that is infinite or NaN as float32; nil if there is none.
    ///
    /// Reads the whole tensor.
    public func firstNonFiniteValue() -> Float? {
        guard type == .float64 || type.kernelType != nil else { return nil }
        let chunk = Storage(count: min(count, 1 << 14))
        for first in stride(from: 0, to: count, by: max(chunk.count, 1)) {
            let length = min(chunk.count, count - first)
            copyFloats(first..<(first + length), to: chunk.pointer)
            let values = UnsafeBufferPointer(start: chunk.pointer, count: length)
            if let index = firstNonFinite(values) { return values[index] }
        }
        return nil
    }
}

/// The index of the first value that is infinite or NaN.
private func firstNonFinite(_ values: UnsafeBufferPointer<Float>) -> Int? {
    // Branchless, so that the compiler vectorises the pass; the position is only searched for if there is one.
    var isFinite = true
    for value in values { isFinite = isFinite && value.bitPattern & 0x7f80_0000 != 0x7f80_0000 }
    return isFinite ? nil : values.firstIndex { !$0.isFinite }
}
