import CKernels
import Foundation
import Tensors
import Testing

/// Kernels are accurate and bit-identical on every instruction set of this machine.
@Suite struct KernelLevelTests {
    /// The largest relative error of a kernel over all levels, for inputs whose result is a normal float.
    private func largestError(
        _ kernel: (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void, _ exact: (Double) -> Double,
        on inputs: [Float]
    ) -> Double {
        let results = onEveryLevel {
            [Float](unsafeUninitializedCapacity: inputs.count) { buffer, count in
                inputs.withUnsafeBufferPointer { kernel($0.baseAddress!, buffer.baseAddress!, inputs.count) }
                count = inputs.count
            }
        }
        for result in results { #expect(result.map(\.bitPattern) == results[0].map(\.bitPattern)) }
        let errors = zip(inputs, results[0]).compactMap { input, found -> Double? in
            let expected = exact(Double(input))
            guard abs(expected) >= Double(Float.leastNormalMagnitude) else { return nil }
            return abs(Double(found) - expected) / abs(expected)
        }
        return errors.contains { $0.isNaN } ? .infinity : errors.max() ?? .infinity
    }

    private func grid(_ range: ClosedRange<Float>, count: Int) -> [Float] {
        (0...count).map { range.lowerBound + (range.upperBound - range.lowerBound) * Float($0) / Float(count) }
    }

    @Test func exponentialIsAccurateToTwoULP() {
        #expect(largestError(ck_exp, { exp($0) }, on: grid(-87.3...88.7, count: 20_001)) < 1.5e-7)
        #expect(largestError(ck_exp, { exp($0) }, on: grid(-0.4...0.4, count: 5_001)) < 1.5e-7)
    }

    @Test func hyperbolicTangentIsAccurateToTwoULP() {
        #expect(largestError(ck_tanh, { tanh($0) }, on: grid(-10...10, count: 20_001)) < 2e-7)
        #expect(largestError(ck_tanh, { tanh($0) }, on: grid(-1e-6...1e-6, count: 101)) < 2e-7)
    }

    @Test func exponentialHandlesExtremeInputs() {
        let inputs: [Float] = [-.infinity, -1000, -104.5, 0, 88.8, 1000, .infinity, .nan]
        let results = onEveryLevel {
            var outputs = [Float](repeating: 7, count: inputs.count)
            ck_exp(inputs, &outputs, inputs.count)
            return outputs
        }
        for result in results {
            #expect(result[0...3] == [0, 0, 0, 1])
            #expect(result[4...6] == [.infinity, .infinity, .infinity])
            #expect(result[7].isNaN)
        }
    }

    @Test(arguments: [CK_F16, CK_BF16, CK_F32], [1, 15, 16, 17, 33, 100])
    func wideningIsExactForUnalignedBytes(type: ck_type, count: Int) {
        // Every 97th bit pattern: subnormal, infinite and not-a-number halves among them.
        let patterns = (0..<count).map { UInt16(truncatingIfNeeded: $0 * 97 * 131) }
        let expected: [Float] = patterns.map { pattern in
            switch type {
            case CK_F16: Float(Float16(bitPattern: pattern))
            case CK_BF16: Float(bitPattern: UInt32(pattern) << 16)
            default: Float(pattern) / 3
            }
        }
        let elements = type == CK_F32 ? expected.flatMap(bytes) : patterns.flatMap(bytes)
        let results = onEveryLevel {
            ([0] + elements).withUnsafeBytes { source in
                var result = [Float](repeating: 0, count: count)
                ck_widen(type, source.baseAddress! + 1, &result, count)
                return result
            }
        }
        for result in results {
            for (found, exact) in zip(result, expected) { #expect(found == exact || found.isNaN && exact.isNaN) }
        }
    }

    private func bytes<Value: BitwiseCopyable>(_ value: Value) -> [UInt8] { withUnsafeBytes(of: value) { [UInt8]($0) } }

    @Test func everyHalfPrecisionValueWidensExactly() {
        let patterns = (0...UInt16.max).map { $0 }
        let results = onEveryLevel {
            var result = [Float](repeating: 0, count: patterns.count)
            ck_widen(CK_F16, patterns, &result, patterns.count)
            return result
        }
        for result in results {
            let wrong = zip(patterns, result).filter { pattern, found in
                let exact = Float(Float16(bitPattern: pattern))
                return found != exact && !(found.isNaN && exact.isNaN)
            }
            #expect(wrong.isEmpty)
        }
    }

    @Test(arguments: [1, 3, 17, 33, 64, 100, 192])
    func resultsDoNotDependOnAlignment(columns: Int) {
        var numbers = TestNumbers(5)
        let values = (0..<columns).map { _ in numbers.next() }
        let results = (0..<16).map { shift in
            let storage = Matrix(rows: 1, columns: columns + 16)
            let x = storage.columns(shift..<(shift + columns))
            x.copy(from: Matrix(values, rows: 1, columns: columns))
            layerNorm(x, epsilon: 1e-6, into: x)
            return bits(x)
        }
        for result in results { #expect(result == results[0]) }
    }

    @Test func instructionSetCanBeForced() {
        let names = onEveryLevel { CPU.features }
        #expect(names == Array(["portable", "AVX2", "AVX-512", "AMX"].prefix(names.count)))
        #expect(names.count == Int(ck_best_level().rawValue) + 1)
    }
}
