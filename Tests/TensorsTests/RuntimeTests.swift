import Tensors
import Testing

@Suite struct RuntimeTests {
    @Test func runtimePropertiesAreAvailable() {
        #expect(BLAS.version.hasPrefix("OpenBLAS "))
        #expect(!BLAS.coreName.isEmpty)
        #expect(BLAS.threadCount >= 1)
        #expect(CPU.availableCount >= 1)
        #expect(!CPU.modelName.isEmpty)
    }
}
