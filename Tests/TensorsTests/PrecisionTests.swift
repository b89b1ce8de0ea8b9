import Basics
import CKernels
import Foundation
import Tensors
import Testing

/// Products in bfloat16, against plain loops over the rounded inputs, and the epilogues of products in both precisions.
@Suite struct PrecisionTests {
    static let shapes = [
        (1, 1, 1), (3, 5, 7), (14, 64, 32), (15, 33, 65), (29, 100, 31), (17, 3200, 40), (530, 18, 70),
    ]

    private func rounded(_ x: Matrix) -> Reference {
        let narrow = Matrix(rows: x.rows, columns: x.columns, precision: .bfloat16)
        Tensors.narrow(x, into: narrow)
        return Reference(Matrix(narrow.values, rows: x.rows, columns: x.columns))
    }

    @Test func roundingIsToNearestEven() {
        let pairs: [(UInt32, UInt32)] = [
            (0x3f80_8000, 0x3f80_0000), (0x3f81_8000, 0x3f82_0000), (0x3f80_8001, 0x3f81_0000),
            (0x7f7f_ffff, 0x7f80_0000), (0x8000_0001, 0x8000_0000), (0xff80_0000, 0xff80_0000),
        ]
        let x = Matrix(pairs.map { Float(bitPattern: $0.0) } + [.nan], rows: 1, columns: pairs.count + 1)
        let y = Matrix(rows: 1, columns: x.columns, precision: .bfloat16)
        for _ in onEveryLevel({ narrow(x, into: y) }) {
            #expect(y.values.dropLast().map(\.bitPattern) == pairs.map(\.1))
            #expect(y.values[pairs.count].isNaN)
        }
    }

    @Test(.enabled(if: CPU.hasBFloat16), arguments: LinearTests.types, shapes)
    func productsInBFloat16MatchPlainLoops(type: StoredType, shape: (rows: Int, inputs: Int, outputs: Int)) throws {
        var numbers = TestNumbers(UInt64(shape.rows * 1000 + shape.inputs))
        let x = numbers.window(rows: shape.rows, columns: shape.inputs)
        let bias = numbers.matrix(rows: 1, columns: shape.outputs)
        let stored = try LinearTests.weight(
            numbers.matrix(rows: shape.outputs, columns: shape.inputs), type: type, shifted: true)
        let expected = Reference.product(
            rounded(x), transposed: rounded(stored.matrix()), bias: bias.values.map(Double.init))
        let layer = Linear(weight: Weight(packing: [stored]), bias: bias)
        let y = numbers.window(rows: shape.rows, columns: shape.outputs)
        linear(x, layer, into: y, workspace: Workspace())
        #expect(relativeError(y, expected) < 2e-6)
        linear(x, layer, activation: .silu, into: y, workspace: Workspace())
        #expect(relativeError(y, expected.mapped { $0 / (1 + exp(-$0)) }) < 2e-6)
        let narrow = Matrix(rows: shape.rows, columns: shape.outputs, precision: .bfloat16)
        linear(x, layer, into: narrow, workspace: Workspace())
        let widened = Matrix(narrow.values, rows: shape.rows, columns: shape.outputs)
        #expect(relativeError(widened, expected) < 1.0 / 256)
    }

    @Test(.enabled(if: CPU.hasBFloat16)) func partsOfAPackedWeightLieAboveOneAnother() throws {
        var numbers = TestNumbers(8)
        let (first, second) = (numbers.matrix(rows: 64, columns: 37), numbers.matrix(rows: 45, columns: 37))
        let x = numbers.matrix(rows: 20, columns: 37)
        let both = Matrix(rows: 20, columns: 109)
        linear(x, Linear(weight: Weight(packing: [Weight(first), Weight(second)])), into: both, workspace: Workspace())
        for (part, columns) in [(first, 0..<64), (second, 64..<109)] {
            let alone = Matrix(rows: 20, columns: columns.count)
            linear(x, Linear(weight: Weight(packing: [Weight(part)])), into: alone, workspace: Workspace())
            #expect(bits(alone) == bits(both.columns(columns)))
        }
    }

    static let precisions = Precision.allCases.filter(\.isSupported)

    @Test(arguments: precisions, [nil, 0.5] as [Float?])
    func resultsAreAddedToAResidualSum(precision: Precision, gateValue: Float?) {
        var numbers = TestNumbers(4)
        for rows in [3, 33] {
            let weight = Weight(numbers.matrix(rows: 70, columns: 50))
            let layer = Linear(
                weight: precision == .bfloat16 ? Weight(packing: [weight]) : weight,
                bias: numbers.matrix(rows: 1, columns: 70))
            let x = numbers.matrix(rows: rows, columns: 50)
            let gate = gateValue.map { value in Matrix((0..<70).map { value + Float($0) }, rows: 1, columns: 70) }
            let (fused, plain) = (numbers.window(rows: rows, columns: 70), Matrix(rows: rows, columns: 70))
            plain.copy(from: fused)
            let y = Matrix(rows: rows, columns: 70)
            let workspace = Workspace()
            linear(
                x, layer, activation: .geluTanh, addingTo: ResidualSum(fused, gate: gate), into: y,
                workspace: workspace)
            linear(x, layer, activation: .geluTanh, into: y, workspace: workspace)
            add(y, gate: gate, to: plain)
            #expect(bits(fused) == bits(plain))
        }
    }

    @Test(arguments: precisions) func eachImageHasItsOwnGate(precision: Precision) {
        var numbers = TestNumbers(14)
        let (images, count) = (3, 19)
        for inputs in [50, 3100] {
            let weight = Weight(numbers.matrix(rows: 70, columns: inputs))
            let layer = Linear(weight: precision == .bfloat16 ? Weight(packing: [weight]) : weight)
            let x = numbers.matrix(rows: images * count, columns: inputs)
            let gate = numbers.window(rows: images, columns: 70)
            let (fused, plain) = (
                numbers.window(rows: images * count, columns: 70), Matrix(rows: images * count, columns: 70)
            )
            plain.copy(from: fused)
            let y = Matrix(rows: images * count, columns: 70)
            linear(
                x, layer, addingTo: ResidualSum(fused, gate: gate), storesResult: false, into: y, workspace: Workspace()
            )
            linear(x, layer, into: y, workspace: Workspace())
            for image in 0..<images {
                let rows = (image * count)..<((image + 1) * count)
                add(y.rows(rows), gate: gate.rows(image..<(image + 1)), to: plain.rows(rows))
            }
            #expect(bits(fused) == bits(plain))
            let reused = numbers.window(rows: images * count, columns: 70)
            let again = Matrix(rows: images * count, columns: 70)
            again.copy(from: reused)
            ResidualSum(reused, gate: gate).add(y)
            for row in 0..<(images * count) {
                add(
                    y.rows(row..<(row + 1)), gate: gate.rows((row / count)..<(row / count + 1)),
                    to: again.rows(row..<(row + 1)))
            }
            #expect(bits(reused) == bits(again))
        }
    }

    @Test(arguments: precisions) func bitsDependNeitherOnThreadsNorOnOtherRows(precision: Precision) {
        var numbers = TestNumbers(5)
        let weight = Weight(numbers.matrix(rows: 400, columns: 333))
        let layer = Linear(weight: precision == .bfloat16 ? Weight(packing: [weight]) : weight)
        let x = numbers.matrix(rows: 600, columns: 333)
        let (all, part) = (Matrix(rows: 600, columns: 400), Matrix(rows: 41, columns: 400))
        let threads = BLAS.threadCount
        defer { BLAS.setThreadCount(threads) }
        var results: [[UInt32]] = []
        for count in [1, 2, 5] {
            BLAS.setThreadCount(count)
            linear(x, layer, into: all, workspace: Workspace())
            results.append(bits(all))
        }
        #expect(results[1] == results[0] && results[2] == results[0])
        linear(x.rows(500..<541), layer, into: part, workspace: Workspace())
        #expect(bits(part) == bits(all.rows(500..<541)))
    }

    @Test func productsInFloat32AreEqualOnEveryLevel() throws {
        var numbers = TestNumbers(6)
        for type in LinearTests.types {
            let layer = Linear(
                weight: try LinearTests.weight(numbers.matrix(rows: 77, columns: 3500), type: type),
                bias: numbers.matrix(rows: 1, columns: 77))
            let x = numbers.matrix(rows: 19, columns: 3500)
            let y = Matrix(rows: 19, columns: 77)
            let results = onEveryLevel {
                linear(x, layer, activation: .gelu, into: y, workspace: Workspace())
                return bits(y)
            }
            for result in results { #expect(result == results[0]) }
        }
    }
}
