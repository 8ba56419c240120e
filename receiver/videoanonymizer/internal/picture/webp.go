// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"encoding/binary"
	"fmt"
	"image"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// The flags of a VP8X chunk (RFC 9649, 2.7.1).
const (
	webpAnimation = 1 << 1
	webpEXIF      = 1 << 3
	webpAlpha     = 1 << 4
	webpICC       = 1 << 5
)

// maxWebP is the maximum width and height of a WebP (RFC 9649, 2.6 and 3.4). lossless is the quality value for lossless
// encoding.
const (
	maxWebP  = 16383
	lossless = 101
)

// readWebP reads the header from the chunks.
func (h *header) readWebP(file []byte) error {
	truncated := fmt.Errorf("%w: it ends in a chunk", media.ErrDamaged)
	size := uint64(binary.LittleEndian.Uint32(file[4:])) + 8
	if size > uint64(len(file)) || size < 12 {
		return truncated
	}
	h.readAfter(file[size:])
	var canvas image.Point // from VP8X; the alpha plane has the same size
	for rest := file[12:size]; len(rest) > 0; {
		if len(rest) < 8 {
			return truncated
		}
		size, name := uint64(binary.LittleEndian.Uint32(rest[4:])), string(rest[:4])
		if size > uint64(len(rest)-8) {
			return truncated
		}
		body := rest[8 : 8+size]
		rest = rest[min(uint64(len(rest)), 8+size+size&1):]
		if strings.HasPrefix(name, "VP8") && name != "VP8X" && h.width > 0 || name == "VP8X" && canvas.X > 0 {
			return fmt.Errorf("%w: it has several pictures or headers", media.ErrDamaged)
		}
		switch {
		case name == "VP8X" && len(body) == 10:
			bits := binary.LittleEndian.Uint64(body[2:])
			canvas = image.Pt(int(bits>>16&0xffffff)+1, int(bits>>40)+1)
			if body[0]&webpAnimation != 0 {
				return fmt.Errorf("%w: an animated WebP: convert it to a video, for example with ffmpeg -i FILE FILE.mkv",
					media.ErrUnsupported)
			}
		case name == "VP8 " && len(body) >= 10:
			h.lossy = true
			h.width = int(binary.LittleEndian.Uint16(body[6:]) & 0x3fff)
			h.height = int(binary.LittleEndian.Uint16(body[8:]) & 0x3fff)
		case name == "VP8L" && len(body) >= 5:
			bits := binary.LittleEndian.Uint32(body[1:])
			h.width, h.height = int(bits&0x3fff)+1, int(bits>>14&0x3fff)+1
		case name == "ICCP":
			h.profile = body
		case name == "EXIF":
			h.readEXIF(trimEXIF(body))
		}
	}
	if canvas.X > 0 {
		return h.checkSize(canvas)
	}
	return nil
}

// trimEXIF drops the header that some programs write before the EXIF block, as in JPEG.
func trimEXIF(body []byte) []byte {
	if len(body) > len(exifHeader) && string(body[:len(exifHeader)]) == exifHeader {
		return body[len(exifHeader):]
	}
	return body
}

// encodeWebP encodes 8-bit pixels with libwebp, with a quality of 1 to 100, or lossless.
func encodeWebP(pixels *image.NRGBA, h *header, quality int, tags []tag) ([]byte, error) {
	size := pixels.Rect.Size()
	if max(size.X, size.Y) > maxWebP { // a turn does not change this, so no WebP source gets here
		return nil, fmt.Errorf("%w: a WebP has at most %d pixels on a side", media.ErrUnsupported, maxWebP)
	}
	encoded, err := libwebp(pixels, quality)
	if err != nil {
		return nil, err
	}
	return extendWebP(encoded, size, !pixels.Opaque(), h, exif(1, tags, h.adobeRGB, h.density))
}

// extendWebP returns a copy of a WebP with the profile in the header and EXIF.
func extendWebP(file []byte, size image.Point, alpha bool, h *header, exif []byte) ([]byte, error) {
	if len(file) < 12 {
		return nil, fmt.Errorf("%w: libwebp did not encode a WebP", media.ErrTool)
	}
	var out []byte
	add := func(name string, body []byte) {
		out = append(out, name...)
		out = append(binary.LittleEndian.AppendUint32(out, uint32(len(body))), body...)
		out = append(out, make([]byte, len(body)&1)...)
	}
	chunks := file[12:]
	if string(chunks[:4]) == "VP8X" { // libwebp writes one with alpha
		chunks = chunks[18:]
	}
	if h.profile != nil || exif != nil || len(chunks) < len(file)-12 {
		flags := byte(0)
		for flag, set := range map[byte]bool{webpICC: h.profile != nil, webpEXIF: exif != nil, webpAlpha: alpha} {
			if set {
				flags |= flag
			}
		}
		w, high := uint32(size.X-1), uint32(size.Y-1)
		add("VP8X", []byte{flags, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(high), byte(high >> 8),
			byte(high >> 16)})
	}
	if h.profile != nil {
		add("ICCP", h.profile)
	}
	out = append(out, chunks...)
	if exif != nil {
		add("EXIF", exif)
	}
	whole := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+len(out)))
	return append(append(whole, "WEBP"...), out...), nil
}
