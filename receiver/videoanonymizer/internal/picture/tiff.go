// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"image"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// The tags of TIFF 6.0 that describe pixels, which EXIF does not have.
const (
	tagBits        = 0x0102
	tagCompression = 0x0103
	tagPhotometric = 0x0106
	tagStrips      = 0x0111
	tagSamples     = 0x0115
	tagRows        = 0x0116
	tagStripSizes  = 0x0117
	tagPredictor   = 0x013d
	tagExtra       = 0x0152
)

// maxPages bounds the directories that are read: a chain of them may be a cycle.
const maxPages = 64

// readTIFF reads the directories. The first is the picture, and others may be smaller versions of it.
func (h *header) readTIFF(file []byte) error {
	d, ok := openDirectory(file, 0)
	if !ok {
		return fmt.Errorf("%w: its first directory is not valid", media.ErrDamaged)
	}
	w, okW := d.number(tagWidth)
	high, okH := d.number(tagHeight)
	if !okW || !okH || w > 1<<31-1 || high > 1<<31-1 {
		return fmt.Errorf("%w: its size is not valid", media.ErrDamaged)
	}
	h.width, h.height = int(w), int(high)
	if subfile(d) {
		return fmt.Errorf("%w: its first page is a preview or mask, as in raw files of cameras: convert it to JPEG or PNG",
			media.ErrUnsupported)
	}
	if n, ok := d.number(tagPhotometric); ok && n == 5 {
		return fmt.Errorf("%w: a TIFF for print (CMYK), whose colors depend on the press: convert it to RGB",
			media.ErrUnsupported)
	}
	if n, ok := d.number(tagOrientation); ok && n >= 1 && n <= 8 {
		h.orientation = int(n)
	}
	h.profile, _ = d.value(tagICC)
	h.readTexts(d)
	if v, _ := d.value(tagSubIFDs); v != nil {
		h.leaveOut("pictures below the first one, such as smaller versions")
	}
	if v, _ := d.value(tagLayers); v != nil {
		h.leaveOut("Photoshop layers")
	}
	h.readDensity(d)
	pages := 1
	for range maxPages {
		if d.next == 0 {
			break
		}
		if d, ok = openDirectory(file, d.next); !ok {
			break
		}
		if subfile(d) {
			h.leaveOut("a smaller version of the picture or a mask")
		} else {
			pages++
		}
	}
	if pages > 1 {
		return fmt.Errorf("%w: a TIFF of %d pages or more: split it into one file per page", media.ErrUnsupported, pages)
	}
	return nil
}

// subfile reports whether a directory is a smaller version of another picture, or a mask of it.
func subfile(d directory) bool {
	kind, _ := d.number(tagSubfileType)
	old, _ := d.number(tagOldSubfile)
	return kind&5 != 0 || old == 2
}

// encodeTIFF writes the pixels losslessly, in strips: Deflate with horizontal differencing.
func encodeTIFF(pixels image.Image, h *header, tags []tag) ([]byte, error) {
	s, err := samplesOf(pixels)
	if err != nil {
		return nil, err
	}
	const stripSize = 256 << 10 // bytes before compression
	rowSize := s.width * s.count * s.bytes
	rows := max(1, min(s.height, stripSize/rowSize))
	file := []byte("II*\x00\x00\x00\x00\x00")
	var offsets, lengths []uint32
	row := make([]byte, rowSize)
	for y := 0; y < s.height; y += rows {
		var packed bytes.Buffer
		w := zlib.NewWriter(&packed)
		for i := y; i < min(s.height, y+rows); i++ {
			s.row(i, row)
			if _, err := w.Write(row); err != nil {
				return nil, err
			}
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		offsets, lengths = append(offsets, uint32(len(file))), append(lengths, uint32(packed.Len()))
		file = append(file, packed.Bytes()...)
	}
	if len(file) > 1<<31 {
		return nil, fmt.Errorf("%w: a TIFF of more than 2 GiB", media.ErrUnsupported)
	}
	file = append(file, make([]byte, len(file)&1)...)
	binary.LittleEndian.PutUint32(file[4:], uint32(len(file)))
	return s.directory(h, tags, uint32(rows), offsets, lengths).append(file), nil
}

func (s *samples) directory(h *header, tags []tag, rows uint32, offsets, lengths []uint32) *ifd {
	const deflate, horizontal, gray, rgb, unassociated, upright = 8, 2, 1, 2, 2, 1
	bits := make([]uint16, s.count)
	for i := range bits {
		bits[i] = uint16(8 * s.bytes)
	}
	photometric := uint16(rgb)
	if s.count == 1 {
		photometric = gray
	}
	d := &ifd{}
	d.long(tagWidth, uint32(s.width))
	d.long(tagHeight, uint32(s.height))
	d.short(tagBits, bits...)
	d.short(tagCompression, deflate)
	d.short(tagPhotometric, photometric)
	d.long(tagStrips, offsets...)
	d.short(tagOrientation, upright)
	d.short(tagSamples, uint16(s.count))
	d.long(tagRows, rows)
	d.long(tagStripSizes, lengths...)
	d.short(tagPredictor, horizontal)
	if s.count == 4 {
		d.short(tagExtra, unassociated)
	}
	if n := h.density; n.x > 0 && n.y > 0 {
		d.fraction(tagXResolution, n.x, 1)
		d.fraction(tagYResolution, n.y, 1)
		d.short(tagUnit, uint16(n.unit)+1)
	}
	if h.profile != nil {
		d.undefined(tagICC, h.profile)
	}
	for _, t := range tags {
		if t.id != tagOriginal {
			d.ascii(t.id, t.text)
		}
	}
	return d
}

// samples are pixels to be written as TIFF samples.
type samples struct {
	width, height, count, bytes int
	pix                         []byte
	stride                      int
	from                        int // samples per pixel in pix, of which the first count are written
}

func samplesOf(pixels image.Image) (s samples, err error) {
	s.width, s.height = pixels.Bounds().Dx(), pixels.Bounds().Dy()
	switch p := pixels.(type) {
	case *image.Gray:
		s.pix, s.stride, s.count, s.from, s.bytes = p.Pix, p.Stride, 1, 1, 1
	case *image.Gray16:
		s.pix, s.stride, s.count, s.from, s.bytes = p.Pix, p.Stride, 1, 1, 2
	case *image.NRGBA:
		s.pix, s.stride, s.count, s.from, s.bytes = p.Pix, p.Stride, 4, 4, 1
		if p.Opaque() {
			s.count = 3
		}
	case *image.NRGBA64:
		s.pix, s.stride, s.count, s.from, s.bytes = p.Pix, p.Stride, 4, 4, 2
		if p.Opaque() {
			s.count = 3
		}
	default:
		err = fmt.Errorf("%w: pixels of type %T", media.ErrUnsupported, pixels)
	}
	return s, err
}

// row fills a row with little-endian samples, each minus that of the pixel before it.
func (s *samples) row(y int, to []byte) {
	pix := s.pix[y*s.stride:]
	for i := range s.count {
		before := uint16(0)
		for x := range s.width {
			in, out := (x*s.from+i)*s.bytes, (x*s.count+i)*s.bytes
			if s.bytes == 1 {
				to[out] = pix[in] - byte(before)
				before = uint16(pix[in])
				continue
			}
			v := binary.BigEndian.Uint16(pix[in:])
			binary.LittleEndian.PutUint16(to[out:], v-before)
			before = v
		}
	}
}
