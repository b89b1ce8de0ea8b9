// RGB8 images to and from PNG in memory. libpng reports errors by longjmp, which must not cross Swift frames: it stays
// inside these functions, which return false and a message instead.
#ifndef CPNG_H
#define CPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CPNG_MESSAGE_BYTES = 128 };

// A text chunk, UTF-8. Texts outside ASCII are written as iTXt, the others as tEXt.
typedef struct cpng_text {
    const char *keyword;
    const char *value;
} cpng_text;

// Everything malloc'ed by a call; cpng_release frees it.
typedef struct cpng_bytes {
    uint8_t *data;
    size_t count;
} cpng_bytes;

typedef struct cpng_image {
    uint32_t width, height;
    cpng_bytes pixels;  // height * width * 3
    cpng_bytes texts;   // keyword NUL value NUL ... in file order
} cpng_image;

bool cpng_encode(const uint8_t *pixels, uint32_t width, uint32_t height, const cpng_text *texts, size_t text_count,
                 cpng_bytes *png, char message[CPNG_MESSAGE_BYTES]);

// Palette, grey, 16-bit and interlaced files are converted; alpha is dropped. Images above pixel_limit are refused.
bool cpng_decode(const uint8_t *png, size_t count, uint64_t pixel_limit, cpng_image *image,
                 char message[CPNG_MESSAGE_BYTES]);

void cpng_release(cpng_bytes *bytes);

#endif
