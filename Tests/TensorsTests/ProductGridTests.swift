import Testing

@testable import Tensors

@Suite struct ProductGridTests {
    @Test(arguments: [(1, 1, 1), (9, 40, 7), (128, 192, 192), (128, 768, 192), (4096, 1152, 1152), (333, 97, 4096)])
    func blocksPartitionTheProduct(rows: Int, columns: Int, depth: Int) {
        let grid = ProductGrid(rows: rows, columns: columns, depth: depth)
        #expect((1...ProductGrid.maxBlockCount).contains(grid.count))
        #expect((0..<grid.rowParts).flatMap { ProductGrid.share($0, of: grid.rowParts, in: rows) } == Array(0..<rows))
        #expect(
            (0..<grid.columnParts).flatMap { ProductGrid.share($0, of: grid.columnParts, in: columns) }
                == Array(0..<columns))
    }

    @Test func smallProductsAreNotPartitioned() {
        #expect(ProductGrid(rows: 128, columns: 96, depth: 64).count == 1)
        #expect(ProductGrid(rows: 1024, columns: 1024, depth: 1024).count == 64)
    }

    /// In a separate process, because the thread count is global.
    @Test func productsDoNotDependOnThreadCount() async {
        await #expect(processExitsWith: .success) { expectEqualProducts() }
    }
}

private func expectEqualProducts() {
    var numbers = TestNumbers(1)
    for (rows, columns, depth) in [(130, 333, 577), (512, 192, 768), (65, 1201, 190)] {
        let a = numbers.matrix(rows: rows, columns: depth)
        let b = numbers.matrix(rows: columns, columns: depth)
        let products = [1, 2, 3, 7].map { threads in
            BLAS.setThreadCount(threads)
            let results = [true, false].map { transposeB in
                let c = Matrix(rows: rows, columns: columns)
                sgemm(
                    a.pointer, aStride: depth, b.pointer, bStride: transposeB ? depth : columns,
                    transposeB: transposeB, into: c.pointer, cStride: columns, rows: rows, columns: columns,
                    depth: depth)
                return bits(c)
            }
            return results[0] + results[1]
        }
        #expect(products.allSatisfy { $0 == products[0] })
    }
}
