import Basics
import CKernels
import Glibc

/// Properties of the processor, recorded with measurements.
public enum CPU {
    /// The instruction set of the fused kernels: `AMX`, `AVX-512`, `AVX2` or `portable`.
    ///
    /// In float32 it affects speed only; results are bit-identical. AMX sums products in bfloat16 in another order.
    public static var features: String {
        switch ck_current_level() {
        case CK_AMX: "AMX"
        case CK_AVX512: "AVX-512"
        case CK_AVX2: "AVX2"
        default: "portable"
        }
    }

    /// Checks the environment variable `ECAD_KERNELS`, which limits the instruction set.
    ///
    /// - Throws: ``KernelsError`` if it does not name an instruction set of this processor.
    public static func checkKernels() throws {
        guard !ck_requested_level_is_valid() else { return }
        throw KernelsError(value: getenv(CK_KERNELS_VARIABLE).map { String(cString: $0) } ?? "")
    }

    /// A value of the environment variable `ECAD_KERNELS` that is not an instruction set of this processor.
    public struct KernelsError: Error, CustomStringConvertible {
        let value: String
        /// One line with the value and those that are possible.
        public var description: String {
            "environment variable \(CK_KERNELS_VARIABLE) is \"\(value)\"; expected portable, avx2, avx512 or amx, as far as "
                + "this processor (\(CPU.modelName)) has them"
        }
    }

    /// A precision that this processor, or the instruction set that the environment allows, does not have.
    public struct PrecisionError: Error, CustomStringConvertible {
        let precision: Precision
        /// The value of `ECAD_KERNELS`; empty without it.
        let limit: String
        /// One line with the cause and what is possible.
        public var description: String {
            let cause =
                !["portable", "avx2"].contains(limit)
                ? "this processor (\(CPU.modelName)) lacks AVX512_BF16"
                : "needs AVX512_BF16, which the environment variable \(CK_KERNELS_VARIABLE)=\(limit) excludes"
            return "precision \(precision): \(cause); expected float32 or auto"
        }
    }

    /// Whether the processor multiplies bfloat16 (AVX512_BF16) and the fused kernels may use AVX-512.
    public static var hasBFloat16: Bool { ck_has_bf16() }

    /// The number of processors that this process can keep busy: at most those of its affinity mask and CPU quota.
    public static var availableCount: Int { AvailableProcessors.current.count }

    /// ``availableCount`` with its reason.
    public static var availability: String { AvailableProcessors.current.description }

    /// The model name from `/proc/cpuinfo`, or `unknown`.
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

extension Precision {
    /// Whether this processor computes in this precision.
    public var isSupported: Bool { self == .float32 || CPU.hasBFloat16 }

    /// Throws ``CPU/PrecisionError`` unless this processor computes in this precision.
    public func requireSupported() throws(CPU.PrecisionError) {
        guard !isSupported else { return }
        throw CPU.PrecisionError(precision: self, limit: getenv(CK_KERNELS_VARIABLE).map { String(cString: $0) } ?? "")
    }

    /// The names of the precisions of this processor.
    public static var supported: [String] { allCases.filter(\.isSupported).map(\.rawValue) }

    /// The faster precision of this processor.
    public static var fastest: Precision { CPU.hasBFloat16 ? .bfloat16 : .float32 }
}

/// A clock for comparing the cost of computations in this process.
///
/// With one BLAS thread it is the CPU time of the calling thread, so preemption by other processes does not count; with
/// several threads it is monotonic wall time.
public enum ComputeClock {
    /// Seconds since an arbitrary origin; compare only readings taken on the same thread.
    public static var now: Double {
        var time = timespec()
        clock_gettime(BLAS.threadCount == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Runs `body` and returns its duration in seconds.
    public static func seconds(of body: () throws -> Void) rethrows -> Double {
        let start = now
        try body()
        return now - start
    }
}
