import Basics
import Foundation
import JSON
import ModelConfiguration
import Schedules
import Testing

@Suite struct ScheduleFileTests {
    static let toy = """
        { "cache_schedule": {
            "num_blocks": 2, "num_inference_steps": 2, "name": "toy", "attributes": {},
            "schedule": {
              "000": { "0": {"attn1": true,  "attn2": true,  "ff": true},
                       "1": {"attn1": true,  "attn2": true,  "ff": true} },
              "001": { "0": {"attn1": false, "attn2": true,  "ff": false},
                       "1": {"attn1": true,  "attn2": false, "ff": false} } } },
          "config": {}, "metrics": {} }
        """

    static let toyFlux = """
        { "cache_schedule": {
            "num_blocks": 1, "num_inference_steps": 1, "name": "toy-flux", "attributes": {},
            "schedule": { "000": {
                "0":        {"full_attn": true, "full_ff": false, "full_ff_context": true},
                "single_0": {"single_attn": true, "single_proj_mlp": true, "single_proj_out": false} } },
            "num_single_blocks": 1 },
          "config": {"height": 256, "width": 256, "guidance_scale": 5},
          "metrics": {} }
        """

    func read(_ text: String) throws -> ScheduleFile { try ScheduleFile(parsing: text.utf8, file: "s.json") }

    /// The message for the toy file with a text replaced.
    func message(replacing old: String, with new: String, in text: String = toy) -> String {
        #expect(text.contains(old))
        do {
            _ = try read(text.replacingOccurrences(of: old, with: new))
            return "accepted"
        } catch { return "\(error)" }
    }

    @Test func pixartFilesAreReadCellByCell() throws {
        let file = try read(Self.toy)
        #expect(file.schedule.shape == .pixart(blocks: 2, steps: 2))
        #expect(file.schedule.name == "toy")
        #expect(file.schedule.genome.description == "111111" + "010100")
        #expect(file.likelyFamily == .pixartAlpha)
    }

    @Test func fluxFilesAreReadCellByCell() throws {
        let file = try read(Self.toyFlux)
        #expect(file.schedule.shape == .flux(fullBlocks: 1, singleBlocks: 1, steps: 1))
        #expect(file.schedule.genome.description == "101" + "110")
        #expect(file.likelyFamily == .flux)
        #expect(file.configuration["guidance_scale"]?.double == 5)
    }

    @Test func orderOfKeysDoesNotMatterForReading() throws {
        let shuffled = """
            { "metrics": {"total_macs": 7}, "cache_schedule": { "schedule": {
                  "1": { "1": {"ff": false, "attn1": true, "attn2": false},
                         "0": {"ff": false, "attn2": true, "attn1": false} },
                  "0": { "1": {"attn1": true, "attn2": true, "ff": true},
                         "0": {"attn1": true, "attn2": true, "ff": true} } },
                "num_inference_steps": 2, "num_blocks": 2 } }
            """
        #expect(try read(shuffled).schedule.genome == read(Self.toy).schedule.genome)
    }

    @Test func stepsBeyondTheLastAreDropped() throws {
        let text = Self.toy.replacingOccurrences(of: "\"num_inference_steps\": 2", with: "\"num_inference_steps\": 1")
        #expect(try read(text).schedule.genome.description == "111111")
    }

    @Test func mistakesAreRejectedWithTheirPosition() {
        #expect(
            message(replacing: "\"attn1\": false", with: "\"attn1\": 0")
                == "s.json: cache_schedule.schedule.001.0.attn1 is 0; expected true or false")
        #expect(
            message(replacing: "\"attn1\": false, ", with: "")
                .hasPrefix("s.json: cache_schedule.schedule.001.0.attn1 is missing"))
        #expect(
            message(replacing: "\"attn1\": false", with: "\"attn1\": false, \"attn3\": true")
                == "s.json: cache_schedule.schedule.001.0.attn3: unknown key; expected "
                + "attn1, attn2, ff, custom_compute_attn, custom_compute_ff")
        #expect(
            message(replacing: "\"001\"", with: "\"002\"")
                == "s.json: cache_schedule.schedule.001 is missing; num_inference_steps is 2")
        #expect(
            message(replacing: "\"001\"", with: "\"0\"")
                == "s.json: cache_schedule.schedule.0 is an object; expected one entry for step 0")
        #expect(
            message(replacing: "\"001\"", with: "\"x\"").contains("schedule.x: unknown key; expected a step number"))
        #expect(
            message(replacing: "\"num_blocks\": 2", with: "\"num_blocks\": 3")
                == "s.json: cache_schedule.schedule.000.2 is missing; every step needs all 3 PixArt blocks x 2 steps")
        #expect(
            message(replacing: "\"num_blocks\": 2", with: "\"num_blocks\": 1")
                == "s.json: cache_schedule.schedule.000.1: unknown key; expected blocks \"0\" to \"0\"")
        #expect(
            message(replacing: "\"num_blocks\": 2", with: "\"num_blocks\": -2")
                == "s.json: cache_schedule.num_blocks is -2; expected an integer from 1 to 1000")
        #expect(
            message(replacing: "\"name\"", with: "\"nam\"")
                == "s.json: cache_schedule.nam: unknown key; expected "
                + "num_blocks, num_single_blocks, num_inference_steps, name, attributes, schedule")
        #expect(message(replacing: "cache_schedule", with: "cache_shedule").contains("cache_schedule is missing"))
        #expect(message(replacing: "\"config\"", with: "\"dit_schedule\"").contains("dit_schedule: unknown key"))
        #expect(
            message(replacing: "\"config\": {}", with: "\"config\": {\"hight\": 1}").contains("config.hight: unknown"))
        #expect(
            message(replacing: "\"config\": {}", with: "\"config\": {\"height\": \"256\"}")
                == "s.json: config.height is \"256\"; expected an integer from 1 to 65536")
        #expect(
            message(replacing: "\"num_single_blocks\": 1", with: "\"num_single_blocks\": null", in: Self.toyFlux)
                .contains("a FLUX file needs num_single_blocks"))
        #expect(
            message(replacing: "\"single_0\"", with: "\"single_1\"", in: Self.toyFlux)
                .contains("expected blocks \"0\" to \"0\" and \"single_0\" to \"single_0\""))
    }

    @Test func tgateIsReadFromBlocksAndPipelineAndWrittenBack() throws {
        let schedule = try Heuristic.tgate(.init(gateStep: 2, interval: 1)).schedule(
            for: .pixart(blocks: 2, steps: 3))
        let file = ScheduleFile(schedule: schedule)
        let text = file.text
        #expect(try read(text) == file)
        #expect(try read(text).schedule.gateStep == 2)
        let block = "\"gate_step\": 2\n                        }\n                    }\n                },"
        #expect(message(replacing: "\"tgate\"", with: "\"pixart_alpha\"", in: text).contains("config.pipeline.kwargs"))
        #expect(
            message(replacing: block, with: block.replacingOccurrences(of: "2\n", with: "1\n"), in: text)
                .contains("gate step 1, as in the blocks before"))
        #expect(
            message(replacing: "compute_attn_tgate", with: "compute_attn_gate", in: text)
                == "s.json: cache_schedule.schedule.000.0.custom_compute_attn.name is \"compute_attn_gate\"; "
                + "expected compute_attn_cached or compute_attn_tgate")
        #expect(try read(text.replacingOccurrences(of: "compute_attn_tgate", with: "Compute_Attn_TGATE")) == file)
        #expect(
            message(
                replacing: "\"config\": {}",
                with: "\"config\": {\"pipeline\": {\"name\": \"tgate\", \"kwargs\": {\"gate_step\": 1}}}"
            ).contains("expected compute_attn_tgate with this gate step in every block"))
    }

    @Test func writtenFilesRoundTrip() throws {
        for shape in ScheduleTests.shapes {
            let file = ScheduleFile(
                schedule: randomSchedule(shape),
                configuration: ["height": 256, "width": 512, "guidance_scale": .number("3.5")])
            #expect(try read(file.text) == file)
        }
    }

    @Test func unknownSectionsAndMetricsAreKept() throws {
        let text = Self.toy.replacingOccurrences(
            of: "\"metrics\": {}", with: "\"metrics\": {\"latency\": {\"avg\": 84.10}}, \"note\": [1, 2.50]")
        let again = try read(read(text).text)
        #expect(again == (try read(text)))
        #expect(again.text.contains("84.10"))
        #expect(again.sections["note"] == .array([1, .number("2.50")]))
    }

    @Test func searchAttributesCountAffectedStepsAndBlocks() throws {
        let file = ScheduleFile(schedule: try read(Self.toy).schedule)
        #expect(
            file.attributes == ["num_affected_steps": 1, "num_affected_blocks": 2, "total_num_affected_blocks": 2])
        #expect(
            ScheduleFile(schedule: try read(Self.toyFlux).schedule).attributes == [
                "num_affected_steps": 1, "num_affected_blocks": 1, "num_affected_blocks_single": 1,
                "total_num_affected_blocks": 2,
            ])
        #expect(ScheduleFile.candidateName(run: "r", generation: 7, candidate: 1234) == "r_gen_007_cand_1234")
    }

    @Test func filesAreWrittenAndReadOnDisk() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = try read(Self.toyFlux)
        try file.write(to: path)
        #expect(try ScheduleFile(path: path) == file)
        #expect(throws: FileError(path: "/none/x.json", problem: "cannot be read: no such file or directory")) {
            try ScheduleFile(path: "/none/x.json")
        }
        #expect(throws: FileError.self) { try file.write(to: "/none/x.json") }
    }

    @Test(.enabled(if: PublishedSchedules.arePresent))
    func publishedFilesAreWrittenAsTheyWereRead() throws {
        let all = try PublishedSchedules.all.get()
        #expect(all.count > 80)
        for published in all {
            let path = published.path
            let original = String(decoding: try Data(contentsOf: PublishedSchedules.url(path)), as: UTF8.self)
            let written = published.file.text
            // The one file of the FLUX generator has num_single_blocks second, where the search writes it last.
            if path == "heuristics/flux_recompute_all_every_003.json" {
                #expect(try read(written) == published.file)
            } else {
                #expect(written == original.trimmingCharacters(in: .newlines), "\(path)")
            }
        }
    }

    @Test(.enabled(if: PublishedSchedules.arePresent))
    func publishedSearchFilesHaveTheAttributesThatTheSearchWrites() throws {
        let searched = try PublishedSchedules.all.get().map(\.file)
            .filter { $0.attributes["total_num_affected_blocks"] != nil }
        #expect(searched.count > 20)
        for file in searched {
            #expect(ScheduleFile(schedule: file.schedule).attributes == file.attributes)
        }
    }
}
