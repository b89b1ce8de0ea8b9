#include "CSentencePiece.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

struct csp_processor {
    sentencepiece::SentencePieceProcessor processor;
};

extern "C" csp_processor *csp_open(const char *path, char *reason, size_t reason_capacity) {
    auto *opened = new (std::nothrow) csp_processor;
    if (opened == nullptr) return nullptr;
    const auto status = opened->processor.Load(path);
    if (status.ok()) return opened;
    if (reason_capacity > 0) {
        const std::string text = status.ToString();
        const size_t count = std::min(text.size(), reason_capacity - 1);
        std::memcpy(reason, text.data(), count);
        reason[count] = '\0';
    }
    delete opened;
    return nullptr;
}

extern "C" void csp_close(csp_processor *processor) { delete processor; }

extern "C" int32_t csp_piece_count(const csp_processor *processor) { return processor->processor.GetPieceSize(); }

extern "C" int64_t csp_encode(const csp_processor *processor, const char *text, size_t length, int32_t *ids,
                              size_t capacity) {
    std::vector<int> encoded;
    if (!processor->processor.Encode({text, length}, &encoded).ok()) return -1;
    std::copy_n(encoded.begin(), std::min(encoded.size(), capacity), ids);
    return static_cast<int64_t>(encoded.size());
}
