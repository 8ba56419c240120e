// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"bytes"
	"fmt"
	"image"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// Format is the file format of a picture.
type Format string

// The formats that can be read. All but HEIC can be written, too; a HEIC is written as a JPEG.
const (
	JPEG Format = "jpeg"
	PNG  Format = "png"
	WebP Format = "webp"
	TIFF Format = "tiff"
	HEIC Format = "heic"
)

// written returns the format in which a picture of this format is written.
func (f Format) written() Format {
	if f == HEIC {
		return JPEG
	}
	return f
}

// header is what a file says about its picture before the picture is decoded.
type header struct {
	format        Format
	width, height int // as stored, in pixels
	// orientation is the EXIF orientation, 1 to 8: how stored pixels are turned for display.
	orientation int
	exif        bool   // EXIF was read
	tags        []tag  // EXIF tags that Options.Keep may name
	profile     []byte // ICC, rebuilt; nil for none
	adobeRGB    bool   // the colors are Adobe RGB by the tags of DCF, which need no profile
	density     density
	leftOut     []string // descriptions of pictures and videos in the file that are not read

	jpeg  jpegHeader
	png   pngHeader
	heic  heicHeader
	lossy bool // WebP
}

// density is the print resolution; the zero value means unknown. With a unit of 0, x and y are just an aspect ratio.
type density struct {
	unit uint8 // 1: pixels per inch, 2: pixels per centimeter
	x, y uint32
}

// signatures recognize the formats by the beginning of a file.
var signatures = []struct {
	format Format
	begins func(file []byte) bool
}{
	{JPEG, func(file []byte) bool { return bytes.HasPrefix(file, []byte{0xff, markerSOI, 0xff}) }},
	{PNG, func(file []byte) bool { return bytes.HasPrefix(file, []byte(pngSignature)) }},
	{WebP, func(file []byte) bool {
		return len(file) >= 12 && string(file[:4]) == "RIFF" && string(file[8:12]) == "WEBP"
	}},
	{TIFF, func(file []byte) bool {
		return bytes.HasPrefix(file, []byte("II*\x00")) || bytes.HasPrefix(file, []byte("MM\x00*"))
	}},
	{HEIC, func(file []byte) bool {
		return len(file) >= 12 && string(file[4:8]) == "ftyp" && slices.Contains(heifBrands, string(file[8:12]))
	}},
}

// heifBrands are the brands of HEIC, and of AVIF, which differs only in its codec.
var heifBrands = []string{"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "mif2", "msf1", "avif", "avis"}

// formatOf returns the format of a file by its beginning, or "" for one that cannot be read.
func formatOf(file []byte) Format {
	for _, s := range signatures {
		if s.begins(file) {
			return s.format
		}
	}
	return ""
}

// readHeader reads the header of a whole file. Errors wrap media.ErrDamaged, media.ErrUnsupported or
// media.ErrNotPicture.
func readHeader(file []byte) (header, error) {
	h := header{orientation: 1}
	h.format = formatOf(file)
	var err error
	switch h.format {
	case JPEG:
		err = h.readJPEG(file)
	case PNG:
		err = h.readPNG(file)
	case WebP:
		err = h.readWebP(file)
	case TIFF:
		err = h.readTIFF(file)
	case HEIC:
		err = h.readHEIC(file)
	default:
		return h, unknown(file)
	}
	if err == nil && (h.width < 1 || h.height < 1) {
		err = fmt.Errorf("%w: it has no size", media.ErrDamaged)
	}
	if len(h.profile) > 0 {
		h.profile = rebuildProfile(h.profile)
	}
	return h, err
}

// leaveOut notes, once, something that is not in the output.
func (h *header) leaveOut(what string) {
	if !slices.Contains(h.leftOut, what) {
		h.leftOut = append(h.leftOut, what)
	}
}

// readAfter notes that something follows the end of a picture, unless it is padding.
func (h *header) readAfter(rest []byte) {
	if len(bytes.TrimLeft(rest, "\x00")) > 0 {
		h.leaveOut("data after the end of the picture")
	}
}

// checkSize fails unless size is the stored size in the header.
func (h *header) checkSize(size image.Point) error {
	if size != image.Pt(h.width, h.height) {
		return fmt.Errorf("%w: its headers contradict each other: %d x %d and %d x %d pixels", media.ErrDamaged,
			h.width, h.height, size.X, size.Y)
	}
	return nil
}

// unknown returns the error for a file that cannot be read.
func unknown(file []byte) error {
	switch {
	case bytes.HasPrefix(file, []byte("II+\x00")), bytes.HasPrefix(file, []byte("MM\x00+")):
		return fmt.Errorf("%w: BigTIFF is not read: convert it to TIFF", media.ErrUnsupported)
	case bytes.HasPrefix(file, []byte("GIF8")):
		return fmt.Errorf("%w but GIF: name it .gif, and it is read as a video", media.ErrNotPicture)
	}
	return fmt.Errorf("%w: it is not a JPEG, PNG, WebP, TIFF or HEIC", media.ErrNotPicture)
}
