#include "CPNG.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

// State of the libpng callbacks.
typedef struct context {
    char *message;
    cpng_bytes *written;
    size_t capacity;
    const uint8_t *input;
    size_t remaining;
    volatile bool has_all_rows;
} context;

static void copy_message(char *message, const char *text) {
    strncpy(message, text, CPNG_MESSAGE_BYTES - 1);
    message[CPNG_MESSAGE_BYTES - 1] = 0;
}

static void on_error(png_structp png, png_const_charp text) {
    const context *state = png_get_error_ptr(png);
    copy_message(state->message, text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void on_write(png_structp png, png_bytep data, size_t count) {
    context *state = png_get_io_ptr(png);
    cpng_bytes *out = state->written;
    if (out->count + count > state->capacity) {
        const size_t capacity = 2 * (out->count + count);
        uint8_t *grown = realloc(out->data, capacity);
        if (!grown) png_error(png, "out of memory");
        out->data = grown;
        state->capacity = capacity;
    }
    memcpy(out->data + out->count, data, count);
    out->count += count;
}

static void on_flush(png_structp png) { (void)png; }

static void on_read(png_structp png, png_bytep data, size_t count) {
    context *state = png_get_io_ptr(png);
    if (count > state->remaining) png_error(png, "the data ends early");
    memcpy(data, state->input, count);
    state->input += count;
    state->remaining -= count;
}

void cpng_release(cpng_bytes *bytes) {
    free(bytes->data);
    *bytes = (cpng_bytes){0};
}

static bool is_ascii(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80) return false;
    return true;
}

bool cpng_encode(const uint8_t *pixels, uint32_t width, uint32_t height, const cpng_text *texts, size_t text_count,
                 cpng_bytes *png_bytes, char message[CPNG_MESSAGE_BYTES]) {
    *png_bytes = (cpng_bytes){0};
    context state = {.message = message, .written = png_bytes};
    png_text *chunks = calloc(text_count + 1, sizeof *chunks);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!chunks || !info) {
        copy_message(message, "out of memory");
        png_destroy_write_struct(&png, &info);
        free(chunks);
        return false;
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        free(chunks);
        cpng_release(png_bytes);
        return false;
    }
    png_set_write_fn(png, &state, on_write, on_flush);
    png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    for (size_t i = 0; i < text_count; i++) {
        chunks[i].compression = is_ascii(texts[i].value) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        chunks[i].key = (char *)texts[i].keyword;
        chunks[i].text = (char *)texts[i].value;
    }
    if (text_count > 0) png_set_text(png, info, chunks, (int)text_count);
    png_write_info(png, info);
    for (uint32_t y = 0; y < height; y++) png_write_row(png, pixels + (size_t)y * width * 3);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(chunks);
    return true;
}

// Writes keyword NUL value NUL for every text chunk, before and after the pixels.
static bool collect_texts(png_structp png, png_infop info, cpng_bytes *out) {
    png_textp texts = NULL;
    const int count = png_get_text(png, info, &texts, NULL);
    size_t total = 0;
    for (int i = 0; i < count; i++) total += strlen(texts[i].key) + strlen(texts[i].text) + 2;
    out->data = malloc(total + 1);
    if (!out->data) return false;
    for (int i = 0; i < count; i++) {
        const char *const parts[] = {texts[i].key, texts[i].text};
        for (int part = 0; part < 2; part++) {
            const size_t length = strlen(parts[part]) + 1;
            memcpy(out->data + out->count, parts[part], length);
            out->count += length;
        }
    }
    return true;
}

static void read_image(png_structp png, png_infop info, uint64_t pixel_limit, cpng_image *image) {
    png_read_info(png, info);
    image->width = png_get_image_width(png, info);
    image->height = png_get_image_height(png, info);
    if ((uint64_t)image->width * image->height > pixel_limit) png_error(png, "the image is too large");
    if (png_get_bit_depth(png, info) == 16 && png_get_color_type(png, info) == PNG_COLOR_TYPE_GRAY)
        png_error(png, "16-bit greyscale, which Pillow would clip to white; expected 8 bits");
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    const size_t row_bytes = (size_t)image->width * 3;
    if (png_get_rowbytes(png, info) != row_bytes) png_error(png, "the pixels cannot be converted to RGB");
    image->pixels.count = row_bytes * image->height;
    image->pixels.data = malloc(image->pixels.count);
    if (!image->pixels.data) png_error(png, "out of memory");
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < image->height; y++) png_read_row(png, image->pixels.data + y * row_bytes, NULL);
    context *state = png_get_io_ptr(png);
    state->has_all_rows = true;
    png_read_end(png, info);
}

bool cpng_decode(const uint8_t *bytes, size_t count, uint64_t pixel_limit, cpng_image *image,
                 char message[CPNG_MESSAGE_BYTES]) {
    *image = (cpng_image){0};
    if (count < 8 || png_sig_cmp(bytes, 0, 8) != 0) {
        copy_message(message, "not a PNG");
        return false;
    }
    context state = {.message = message, .input = bytes, .remaining = count};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        copy_message(message, "out of memory");
        png_destroy_read_struct(&png, &info, NULL);
        return false;
    }
    // Like Pillow, ignore damage after the last row, such as a missing end.
    if (setjmp(png_jmpbuf(png)) && !state.has_all_rows) {
        png_destroy_read_struct(&png, &info, NULL);
        cpng_release(&image->pixels);
        return false;
    }
    if (!state.has_all_rows) {
        png_set_read_fn(png, &state, on_read);
        read_image(png, info, pixel_limit, image);
    }
    if (!collect_texts(png, info, &image->texts)) {
        copy_message(message, "out of memory");
        png_destroy_read_struct(&png, &info, NULL);
        cpng_release(&image->pixels);
        return false;
    }
    png_destroy_read_struct(&png, &info, NULL);
    return true;
}
