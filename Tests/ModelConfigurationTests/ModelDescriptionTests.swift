import Foundation
import ModelConfiguration
import TestSupport
import Testing

@Suite struct ModelDescriptionTests {
    let folder: TemporaryFolder
    let model: String

    init() throws {
        folder = try TemporaryFolder()
        model = try folder.copy(of: "\(Fixtures.folder)/alpha-small/model", as: "model")
    }

    func replace(_ old: String, with new: String, in file: String) throws {
        let path = "\(model)/\(file)"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(text.contains(old))
        try text.replacingOccurrences(of: old, with: new).write(toFile: path, atomically: true, encoding: .utf8)
    }

    @Test func nativeSizeIsTheDefault() throws {
        let native = try ModelDescription(modelFolder: model)
        #expect(try ModelDescription(modelFolder: model, height: native.height, width: native.width) == native)
        let wide = try ModelDescription(modelFolder: model, width: 2 * native.width)
        #expect(wide.height == native.height && wide.architecture != native.architecture)
    }

    /// FLUX's transformer names no size, and its patches are 2 x 2 latents.
    @Test func fluxSizeComesFromTheAutoencoder() throws {
        let flux = "\(Fixtures.folder)/flux-small/model"
        let native = try ModelDescription(modelFolder: flux)
        #expect(native.height == 32 && native.width == 32)
        #expect(complaint { try ModelDescription(modelFolder: flux, height: 18) }.isOneLine(naming: "multiple of 4"))
    }

    @Test func sizesThatTheModelCannotMakeAreRejected() {
        for (height, found) in [(17, "17"), (0, "0"), (-64, "-64")] {
            #expect(
                complaint { try ModelDescription(modelFolder: model, height: height) }
                    .isOneLine(naming: "height is \(found); expected a multiple of"))
        }
    }

    @Test func missingAndWrongFilesAreNamed() throws {
        #expect(
            complaint { try ModelDescription(modelFolder: folder.file("none")) }
                .isOneLine(naming: "none/model_index.json", "not found", "diffusers layout"))
        try replace("\"block_out_channels\"", with: "\"blocks\"", in: "vae/config.json")
        #expect(
            complaint { try ModelDescription(modelFolder: model) }
                .isOneLine(naming: "vae/config.json: block_out_channels is missing"))
        _ = try folder.write("[]", to: "model/transformer/config.json")
        try replace("\"blocks\"", with: "\"block_out_channels\"", in: "vae/config.json")
        #expect(
            complaint { try ModelDescription(modelFolder: model) }
                .isOneLine(naming: "transformer/config.json", "the document is an array; expected an object"))
    }

    @Test func sigmaHasItsOwnTextLength() throws {
        let sigma = try ModelDescription(modelFolder: "\(Fixtures.folder)/sigma-small/model")
        #expect(sigma.architecture.textLength == 300)
    }

    @Test func transformerOfAnotherFamilyThanThePipelineIsRejected() throws {
        try replace("PixArtAlphaPipeline", with: "FluxPipeline", in: "model_index.json")
        #expect(
            complaint { try ModelDescription(modelFolder: model) }
                .isOneLine(naming: "transformer/config.json: _class_name is", "expected FluxTransformer2DModel"))
    }

    @Test(arguments: [("24", 24), ("1e30", 512), ("null", 512)])
    func fluxTextLengthIsBoundedByItsTokenizer(_ stated: String, _ expected: Int) throws {
        let flux = try folder.copy(of: "\(Fixtures.folder)/flux-small/model", as: "flux")
        let file = "\(flux)/tokenizer_2/tokenizer_config.json"
        let text = try String(contentsOfFile: file, encoding: .utf8)
        try text.replacingOccurrences(of: "\"model_max_length\": 512", with: "\"model_max_length\": \(stated)")
            .write(toFile: file, atomically: true, encoding: .utf8)
        #expect(try ModelDescription(modelFolder: flux).architecture.textLength == expected)
    }
}
