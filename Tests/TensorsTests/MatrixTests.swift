import Tensors
import Testing

@Suite struct MatrixTests {
    private let matrix = Matrix((0..<12).map(Float.init), rows: 3, columns: 4)

    @Test func viewsShareElements() {
        let window = matrix.rows(1..<3).columns(1..<3)
        #expect(window.values == [5, 6, 9, 10])
        #expect(!window.isContiguous)
        #expect(matrix.rows(1..<2).columns(1..<3).isContiguous)
        window.fill(0)
        #expect(matrix.values == [0, 1, 2, 3, 4, 0, 0, 7, 8, 0, 0, 11])
    }

    @Test func reshapingPreservesElementOrder() {
        let reshaped = matrix.reshaped(rows: 6, columns: 2)
        #expect(reshaped[5, 0] == 10)
        reshaped[0, 1] = -1
        #expect(matrix[0, 1] == -1)
        #expect(matrix.rows(1..<3).reshaped(rows: 1, columns: 8)[0, 7] == 11)
    }

    @Test func copyHandlesDifferentStrides() {
        let window = Matrix(rows: 4, columns: 6).rows(1..<4).columns(2..<6)
        window.copy(from: matrix)
        #expect(window.values == matrix.values)
        let back = Matrix(rows: 3, columns: 4)
        back.copy(from: window)
        #expect(back.values == matrix.values)
    }

    @Test func emptyMatricesAreSupported() {
        let empty = Matrix(rows: 0, columns: 5)
        #expect(empty.values.isEmpty)
        empty.fill(1)
        #expect(Matrix(rows: 2, columns: 0).values.isEmpty)
        #expect(matrix.rows(3..<3).values.isEmpty)
    }

    @Test func storageIsZeroedAndAligned() {
        for count in [0, 1, 17, 100_000] {
            let storage = Storage(count: count)
            #expect(Int(bitPattern: storage.pointer) % 64 == 0)
            #expect((0..<count).allSatisfy { storage.pointer[$0] == 0 })
        }
    }
}
