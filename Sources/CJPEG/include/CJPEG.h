// Decodes JPEG in memory to RGB8. libjpeg reports errors through a callback that must not return; it jumps back into
// these functions, which return false with a message.
#ifndef CJPEG_H
#define CJPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CJPEG_MESSAGE_BYTES = 256 };

typedef struct cjpeg_image {
    uint32_t width, height;
    uint8_t *pixels;  // height * width * 3; free with cjpeg_release
} cjpeg_image;

// Converts greyscale and CMYK files as Pillow does. Fails for images above pixel_limit and truncated data; repairs other
// damage that libjpeg can repair. Does not apply the orientation of EXIF.
bool cjpeg_decode(const uint8_t *bytes, size_t count, uint64_t pixel_limit, cjpeg_image *image,
                  char message[CJPEG_MESSAGE_BYTES]);

void cjpeg_release(cjpeg_image *image);

#endif
