import Foundation
import Tensors

/// Writes safetensors files that `SafetensorsFile.write` cannot produce.
enum RawSafetensors {
    /// Writes a header and data; `length` overrides the header length.
    static func write(header: String, data: [UInt8] = [], length: UInt64? = nil, to path: String) throws {
        let length = length ?? UInt64(header.utf8.count)
        let bytes = withUnsafeBytes(of: length.littleEndian) { [UInt8]($0) } + Array(header.utf8) + data
        try Data(bytes).write(to: URL(filePath: path))
    }

    /// Writes one tensor `weight` of a floating-point type, at an odd offset if `shifted`.
    static func write(_ matrix: Matrix, type: StoredType, shifted: Bool, to path: String) throws {
        let bytes: [UInt8] = matrix.values.flatMap { value -> [UInt8] in
            switch type {
            case .float16: withUnsafeBytes(of: Float16(value)) { [UInt8]($0) }
            case .bfloat16: withUnsafeBytes(of: UInt16(value.bitPattern >> 16)) { [UInt8]($0) }
            case .float64: withUnsafeBytes(of: Double(value)) { [UInt8]($0) }
            default: withUnsafeBytes(of: value) { [UInt8]($0) }
            }
        }
        var header =
            "{\"weight\":{\"dtype\":\"\(type.rawValue)\",\"shape\":[\(matrix.rows),\(matrix.columns)],"
            + "\"data_offsets\":[0,\(bytes.count)]}}"
        while (header.utf8.count % 8 == 0) == shifted { header += " " }
        while !shifted && header.utf8.count % 8 != 0 { header += " " }
        try write(header: header, data: bytes, to: path)
    }
}
