import Basics
import Foundation

/// The front end: files of `Web`, compiled into the program.
enum WebApp {
    static let page = text(PackageResources.index_html)
    static let signInPage = text(PackageResources.signin_html)
    static let signInScript = text(PackageResources.signin_js)
    static let style = text(PackageResources.app_css)

    /// All modules as one script, in the order of their dependencies: the same for the dashboard and the report.
    static let script = [
        PackageResources.data_js, PackageResources.format_js, PackageResources.plot_js, PackageResources.explorer_js,
        PackageResources.candidate_js, PackageResources.pages_js, PackageResources.app_js,
    ].map { bundled(text($0)) }.joined(separator: "\n")

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// A module without its imports and exports; top-level names are unique across the modules.
    private static func bundled(_ module: String) -> String {
        module.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.hasPrefix("import ") }
            .map { $0.hasPrefix("export ") ? $0.dropFirst("export ".count) : $0 }.joined(separator: "\n")
    }

    /// A source of a content security policy that allows exactly this inline script or style.
    static func policySource(of content: String) -> String {
        "'sha256-\(Data(SHA256.digest(content.utf8)).base64EncodedString())'"
    }
}
