import Foundation
import Testing

@testable import Tensors

@Suite struct LinearTests {
    static let types: [StoredType] = [.float32, .float16, .bfloat16]

    /// A weight of the given type in a file whose tensor starts at an odd byte when `shifted`.
    static func weight(_ matrix: Matrix, type: StoredType, shifted: Bool = false) throws -> Weight {
        try withTemporaryFile { path in
            try RawSafetensors.write(matrix, type: type, shifted: shifted, to: path)
            let tensor = try SafetensorsFile(path: path).tensor("weight")
            return try Weight(tensor, rows: matrix.rows, columns: matrix.columns)
        }
    }

    private func expected(_ x: Matrix, _ weight: Weight, _ bias: Matrix?) -> Reference {
        Reference.product(Reference(x), transposed: Reference(weight.matrix()), bias: bias?.values.map(Double.init))
    }

    @Test(
        arguments: types,
        [(1, 1, 1), (1, 100, 33), (2, 16, 4), (3, 17, 5), (7, 33, 18), (17, 100, 3), (33, 3, 300), (40, 64, 100)])
    func productsMatchPlainLoops(type: StoredType, shape: (rows: Int, inputs: Int, outputs: Int)) throws {
        var numbers = TestNumbers(UInt64(shape.rows * 1000 + shape.inputs))
        let x = numbers.window(rows: shape.rows, columns: shape.inputs)
        let bias = numbers.matrix(rows: 1, columns: shape.outputs)
        let values = numbers.matrix(rows: shape.outputs, columns: shape.inputs)
        for shifted in [false, true] {
            let weight = try Self.weight(values, type: type, shifted: shifted)
            let y = numbers.window(rows: shape.rows, columns: shape.outputs)
            linear(x, Linear(weight: weight, bias: bias), into: y, workspace: Workspace())
            #expect(relativeError(y, expected(x, weight, bias)) < 2e-6)
            linear(x, Linear(weight: weight), activation: .silu, into: y, workspace: Workspace())
            let activated = expected(x, weight, nil).mapped { $0 / (1 + exp(-$0)) }
            #expect(relativeError(y, activated) < 2e-6)
        }
    }

    @Test func halfPrecisionWeightsAreWidenedInPanels() throws {
        var numbers = TestNumbers(2)
        let x = numbers.matrix(rows: 9, columns: 1000)
        let weight = try Self.weight(numbers.matrix(rows: 560, columns: 1000), type: .bfloat16)
        let workspace = Workspace()
        let y = Matrix(rows: 9, columns: 560)
        linear(x, Linear(weight: weight), into: y, workspace: workspace)
        #expect(workspace.byteCount < 560 * 1000 * 4)
        #expect(relativeError(y, expected(x, weight, nil)) < 2e-6)
    }

    @Test func repeatedProductsAreBitIdenticalAndReuseMemory() throws {
        var numbers = TestNumbers(3)
        let x = numbers.matrix(rows: 20, columns: 96)
        let layer = Linear(weight: try Self.weight(numbers.matrix(rows: 500, columns: 96), type: .float16))
        let workspace = Workspace()
        let y = Matrix(rows: 20, columns: 500)
        linear(x, layer, activation: .geluTanh, into: y, workspace: workspace)
        let (first, growth) = (bits(y), workspace.growthCount)
        for _ in 0..<5 {
            y.fill(.nan)
            linear(x, layer, activation: .geluTanh, into: y, workspace: workspace)
            #expect(bits(y) == first)
        }
        #expect(workspace.growthCount == growth)
        #expect(growth == 1)
    }

    @Test func smallBatchesAreBitIdenticalOnAllInstructionSets() throws {
        var numbers = TestNumbers(4)
        let x = numbers.window(rows: 7, columns: 77)
        for type in Self.types {
            let weight = try Self.weight(numbers.matrix(rows: 31, columns: 77), type: type, shifted: true)
            let results = onEveryLevel {
                let y = Matrix(rows: 7, columns: 31)
                linear(x, Linear(weight: weight), into: y, workspace: Workspace())
                return bits(y)
            }
            for result in results { #expect(result == results[0]) }
        }
    }

    @Test func singlePrecisionWeightsAreUsedInPlace() throws {
        let (many, workspace) = (Matrix(rows: 3000, columns: 2), Workspace())
        let y = Matrix(rows: 9, columns: 3000)
        linear(Matrix(rows: 9, columns: 2), Linear(weight: Weight(many)), into: y, workspace: workspace)
        // One panel of 32 outputs, of which there is one per thread at most.
        #expect(workspace.byteCount <= 32 * 2 * 4)
        let matrix = Matrix([1, 2, 3, 4], rows: 2, columns: 2)
        #expect(Weight(matrix.columns(1..<2)).matrix().values == [2, 4])
    }

    @Test func weightsRejectWrongShapesAndTypes() throws {
        try withTemporaryFile { path in
            try SafetensorsFile.write(
                [
                    .init("a", shape: [2, 3, 1, 1], values: .floats([1, 2, 3, 4, 5, 6])),
                    .init("ids", shape: [1, 2], values: .integers([1, 2])),
                ], to: path)
            let file = try SafetensorsFile(path: path)
            #expect(try Weight(file.tensor("a"), rows: 2, columns: 3).matrix().values == [1, 2, 3, 4, 5, 6])
            #expect(throws: TensorsError.shape(file: path, tensor: "a", expected: [3, 2], found: [2, 3, 1, 1])) {
                try Weight(file.tensor("a"), rows: 3, columns: 2)
            }
            #expect(
                throws: TensorsError.type(
                    file: path, tensor: "ids", expected: StoredType.floatingPointText, found: .int64)
            ) {
                try Weight(file.tensor("ids"), rows: 1, columns: 2)
            }
        }
    }
}
