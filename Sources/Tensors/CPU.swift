import CKernels
import COpenBLAS
import Glibc

/// The processor as the kernels see it, for the record of a measurement.
public enum CPU {
    /// The instruction set that the fused kernels use: `AVX-512`, `AVX2` or `portable`.
    ///
    /// It decides about speed only; all three return the same bits.
    public static var features: String {
        switch ck_current_level() {
        case CK_AVX512: "AVX-512"
        case CK_AVX2: "AVX2"
        default: "portable"
        }
    }

    /// The processors this process may run on.
    public static var availableCount: Int { Int(openblas_get_num_procs()) }

    /// The model as the kernel names it in `/proc/cpuinfo`, `unknown` where it does not.
    public static var modelName: String {
        guard let file = fopen("/proc/cpuinfo", "r") else { return "unknown" }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 512)
        while fgets(&line, Int32(line.count), file) != nil {
            let characters = line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
            let text = String(decoding: characters, as: UTF8.self)
            guard text.hasPrefix("model name"), let colon = text.firstIndex(of: ":") else { continue }
            return String(text[text.index(after: colon)...].drop { $0 == " " })
        }
        return "unknown"
    }
}
