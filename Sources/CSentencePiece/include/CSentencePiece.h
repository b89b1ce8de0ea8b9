// C face of libsentencepiece: opens a model file and encodes text to ids.
#ifndef C_SENTENCE_PIECE_H
#define C_SENTENCE_PIECE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csp_processor csp_processor;

// Opens the model at `path`; on failure returns NULL and writes a NUL-terminated reason into `reason`.
csp_processor *csp_open(const char *path, char *reason, size_t reason_capacity);
void csp_close(csp_processor *processor);

int32_t csp_piece_count(const csp_processor *processor);

// Encodes `length` bytes of UTF-8 and writes at most `capacity` ids; returns the number of ids of the whole text,
// or -1 if the text could not be encoded. Safe to call from several threads.
int64_t csp_encode(const csp_processor *processor, const char *text, size_t length, int32_t *ids, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
