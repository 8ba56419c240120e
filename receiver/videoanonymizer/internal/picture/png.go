// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"slices"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// pngColors are the chunks, of fixed sizes, that describe the colors: PNG (third edition), 11.3.2.
var pngColors = map[string]int{"gAMA": 4, "cHRM": 32, "sRGB": 1, "cICP": 4}

// pngOnce are the chunks of which only the first is read.
var pngOnce = []string{"gAMA", "cHRM", "sRGB", "cICP", "iCCP", "eXIf", "pHYs"}

type pngHeader struct {
	chunks []chunk // those in pngColors
}

type chunk struct {
	name string
	body []byte
}

// readPNG reads the header from the chunks.
func (h *header) readPNG(file []byte) error {
	truncated := fmt.Errorf("%w: it ends in a chunk or has no end", media.ErrDamaged)
	rest := file[len(pngSignature):]
	seen := map[string]bool{}
	for first := true; ; first = false {
		if len(rest) < 12 {
			return truncated
		}
		size, name := uint64(binary.BigEndian.Uint32(rest)), string(rest[4:8])
		if size > uint64(len(rest)-12) {
			return truncated
		}
		body := rest[8 : 8+size]
		rest = rest[12+size:]
		if first != (name == "IHDR") {
			return fmt.Errorf("%w: its header is not first, or there are several", media.ErrDamaged)
		}
		if slices.Contains(pngOnce, name) {
			if seen[name] { // as libpng does
				continue
			}
			seen[name] = true
		}
		switch name {
		case "IHDR":
			if len(body) != 13 {
				return fmt.Errorf("%w: its header is not valid", media.ErrDamaged)
			}
			w, high := binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
			if w > 1<<31-1 || high > 1<<31-1 {
				return fmt.Errorf("%w: its size is not valid", media.ErrDamaged)
			}
			h.width, h.height = int(w), int(high)
		case "acTL":
			return fmt.Errorf("%w: an animated PNG: convert it to a video, for example with ffmpeg -i FILE FILE.mkv",
				media.ErrUnsupported)
		case "eXIf":
			h.readEXIF(body)
		case "pHYs":
			if len(body) == 9 {
				h.density = perMeter(body)
			}
		case "iCCP":
			h.profile = inflateProfile(body)
		case "IEND":
			h.readAfter(rest)
			return nil
		}
		if size, ok := pngColors[name]; ok && size == len(body) {
			h.png.chunks = append(h.png.chunks, chunk{name, body})
		}
	}
}

func perMeter(body []byte) density {
	d := density{0, binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])}
	if body[8] == 1 {
		d = density{2, d.x / 100, d.y / 100}
	}
	return d
}

// inflateProfile reads an iCCP chunk: a name, a compression method, and the compressed profile.
func inflateProfile(body []byte) []byte {
	_, rest, ok := bytes.Cut(body, []byte{0})
	if !ok || len(rest) < 1 {
		return nil
	}
	r, err := zlib.NewReader(bytes.NewReader(rest[1:]))
	if err != nil {
		return nil
	}
	profile, err := io.ReadAll(io.LimitReader(r, maxProfile+1))
	if err != nil {
		return nil
	}
	return profile
}

// encodePNG writes the pixels losslessly, at their bit depth.
func encodePNG(pixels image.Image, h *header, tags []tag) ([]byte, error) {
	var out bytes.Buffer
	// The encoder chooses a filter for each row. A higher level than the default takes twice the time for a few percent.
	encoder := png.Encoder{CompressionLevel: png.DefaultCompression}
	if err := encoder.Encode(&out, pixels); err != nil {
		return nil, err
	}
	const afterHeader = len(pngSignature) + 12 + 13
	extra := pngExtras(h, tags)
	file := out.Bytes()
	return bytes.Join([][]byte{file[:afterHeader], extra, file[afterHeader:]}, nil), nil
}

// pngExtras returns the chunks other than the pixels'.
func pngExtras(h *header, tags []tag) (extra []byte) {
	if h.profile != nil {
		var packed bytes.Buffer
		packed.WriteString("ICC\x00\x00")
		w := zlib.NewWriter(&packed)
		_, _ = w.Write(h.profile)
		_ = w.Close()
		extra = appendChunk(extra, "iCCP", packed.Bytes())
	}
	for _, c := range h.png.chunks {
		extra = appendChunk(extra, c.name, c.body)
	}
	if d := h.density; d.x > 0 && d.y > 0 {
		perMeter := func(n uint32) uint32 {
			switch d.unit {
			case 1:
				return uint32(float64(n)/0.0254 + 0.5)
			case 2:
				return n * 100
			}
			return n
		}
		body := binary.BigEndian.AppendUint32(nil, perMeter(d.x))
		body = binary.BigEndian.AppendUint32(body, perMeter(d.y))
		extra = appendChunk(extra, "pHYs", append(body, min(d.unit, 1)))
	}
	if block := exif(1, tags, h.adobeRGB, density{}); block != nil {
		extra = appendChunk(extra, "eXIf", block)
	}
	return extra
}

func appendChunk(to []byte, name string, body []byte) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(body)))
	from := len(to)
	to = append(append(to, name...), body...)
	return binary.BigEndian.AppendUint32(to, crc32.ChecksumIEEE(to[from:]))
}
