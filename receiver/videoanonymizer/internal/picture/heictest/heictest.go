// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package heictest makes HEICs for tests. It writes the boxes itself, and encodes the HEVC with ffmpeg's libx265.
package heictest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/draw"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Item is an item of a file. IDs start at 1, in the order of the items.
type Item struct {
	Kind string
	// ContentType is the media type of an item of the kind "mime".
	ContentType string
	Data        []byte
	Properties  [][]byte // boxes
	// Refers maps kinds of references to the IDs of the items that this one refers to.
	Refers map[string][]int
	Hidden bool
}

// Coding controls how pictures are encoded. The zero value encodes like a phone: 8-bit 4:2:0 in full-range BT.601.
type Coding struct {
	Format    string // pixel format of ffmpeg
	Matrix    string // color matrix of the scaler, which the stream does not name
	Limited   bool   // limited range
	X265      string // additional parameters
	Unlabeled bool   // leave out the property with the colors
}

// Picture returns a HEIC of one picture, in tiles unless tile is zero, with additional properties.
func Picture(t testing.TB, img image.Image, tile image.Point, coding Coding, properties ...[]byte) []byte {
	t.Helper()
	return File(Items(t, img, tile, coding, properties...), 1)
}

// Items returns the items of one picture: the picture itself, then its tiles.
func Items(t testing.TB, img image.Image, tile image.Point, coding Coding, properties ...[]byte) []Item {
	t.Helper()
	size := img.Bounds().Size()
	if tile == (image.Point{}) {
		items := encode(t, img, size, coding)
		items[0].Properties = append(items[0].Properties, properties...)
		return items
	}
	tiles := encode(t, img, tile, coding)
	columns := (size.X + tile.X - 1) / tile.X
	grid := Item{Kind: "grid", Properties: append([][]byte{Size(size)}, properties...)}
	grid.Data = []byte{0, 0, byte(len(tiles)/columns - 1), byte(columns - 1)}
	grid.Data = binary.BigEndian.AppendUint16(grid.Data, uint16(size.X))
	grid.Data = binary.BigEndian.AppendUint16(grid.Data, uint16(size.Y))
	var ids []int
	for i := range tiles {
		tiles[i].Hidden = true
		ids = append(ids, i+2)
	}
	grid.Refers = map[string][]int{"dimg": ids}
	return append([]Item{grid}, tiles...)
}

// encode encodes the tiles of a picture, row by row.
func encode(t testing.TB, img image.Image, tile image.Point, coding Coding) (items []Item) {
	t.Helper()
	if coding.Format == "" {
		coding.Format = "yuv420p"
	}
	if coding.Matrix == "" {
		coding.Matrix = "bt601"
	}
	levels := "pc"
	if coding.Limited {
		levels = "tv"
	}
	var raw bytes.Buffer
	size := img.Bounds().Size()
	for y := 0; y < size.Y; y += tile.Y {
		for x := 0; x < size.X; x += tile.X {
			part := image.NewRGBA(image.Rectangle{Max: tile})
			draw.Draw(part, part.Rect, img, img.Bounds().Min.Add(image.Pt(x, y)), draw.Src)
			raw.Write(part.Pix)
		}
	}
	cmd := exec.CommandContext(t.Context(), "ffmpeg", "-hide_banner", "-loglevel", "error", "-f", "rawvideo",
		"-pix_fmt", "rgb0", "-video_size", fmt.Sprintf("%dx%d", tile.X, tile.Y), "-i", "pipe:0",
		"-vf", fmt.Sprintf("scale=out_color_matrix=%s:out_range=%s,format=%s", coding.Matrix, levels, coding.Format),
		"-c:v", "libx265", "-preset", "ultrafast", "-crf", "8", "-x265-params",
		"keyint=1:log-level=error:info=0:hash=0:"+coding.X265, "-f", "hevc", "pipe:1")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = &raw, &stderr
	stream, err := cmd.Output()
	require.NoError(t, err, stderr.String())

	var parameters, pictures [][]byte
	for _, unit := range bytes.Split(stream, []byte{0, 0, 1}) {
		unit = bytes.TrimRight(unit, "\x00")
		if len(unit) < 3 {
			continue
		}
		switch kind := unit[0] >> 1 & 63; {
		case kind >= 32 && kind <= 34 && len(parameters) < 3:
			parameters = append(parameters, unit)
		case kind < 32:
			if unit[2]&0x80 != 0 { // the first slice of a picture
				pictures = append(pictures, nil)
			}
			last := &pictures[len(pictures)-1]
			*last = append(binary.BigEndian.AppendUint32(*last, uint32(len(unit))), unit...)
		}
	}
	config := append(make([]byte, 21), 3, 3) // lengths in four bytes; three arrays
	config[0] = 1
	copy(config[1:], parameters[1][3:15]) // profile, tier and level
	config[16], config[17], config[18] = 0xfc|coding.chroma(), 0xf8|coding.depth(), 0xf8|coding.depth()
	for _, unit := range parameters {
		config = append(config, unit[0]>>1&63, 0, 1)
		config = append(binary.BigEndian.AppendUint16(config, uint16(len(unit))), unit...)
	}
	for _, picture := range pictures {
		item := Item{Kind: "hvc1", Data: picture, Properties: [][]byte{Box("hvcC", config), Size(tile)}}
		if !coding.Unlabeled {
			matrix := map[string]uint16{"bt601": 6, "bt709": 1, "bt2020": 9}[coding.Matrix]
			item.Properties = append(item.Properties, Colors(1, 13, matrix, !coding.Limited))
		}
		items = append(items, item)
	}
	return items
}

// chroma returns the chroma_format_idc of ITU-T H.265.
func (c Coding) chroma() byte {
	for i, part := range []string{"gray", "420", "422"} {
		if strings.Contains(c.Format, part) {
			return byte(i)
		}
	}
	return 3
}

// depth returns the number of bits per sample beyond 8.
func (c Coding) depth() byte {
	for i, part := range []string{"10le", "12le"} {
		if strings.HasSuffix(c.Format, part) {
			return byte(2 + 2*i)
		}
	}
	return 0
}

// Box returns a box of a kind.
func Box(kind string, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(all))), kind...), all...)
}

// fullBox returns a box with a version and flags.
func fullBox(kind string, version, flags byte, body ...[]byte) []byte {
	return Box(kind, []byte{version, 0, 0, flags}, bytes.Join(body, nil))
}

// Size returns the property for a size in pixels.
func Size(size image.Point) []byte {
	return fullBox("ispe", 0, 0, binary.BigEndian.AppendUint32(nil, uint32(size.X)),
		binary.BigEndian.AppendUint32(nil, uint32(size.Y)))
}

// Colors returns the property for color tags, as numbers of ITU-T H.273.
func Colors(primaries, transfer, matrix uint16, fullRange bool) []byte {
	body := []byte("nclx")
	for _, v := range []uint16{primaries, transfer, matrix} {
		body = binary.BigEndian.AppendUint16(body, v)
	}
	if fullRange {
		return Box("colr", body, []byte{0x80})
	}
	return Box("colr", body, []byte{0})
}

// Crop returns the property for a clean aperture: a size, and the offset of its center from the picture's, in half
// pixels.
func Crop(width, height, x, y int) []byte {
	var body []byte
	for _, v := range []int{width, 1, height, 1, x, 2, y, 2} {
		body = binary.BigEndian.AppendUint32(body, uint32(int32(v)))
	}
	return Box("clap", body)
}

// File returns a file of items, the ID of the primary one being given, followed by additional boxes.
func File(items []Item, primary int, behind ...[]byte) []byte {
	u16 := func(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
	u32 := func(v int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }
	var infos, references, properties, associations, data []byte
	var offsets []int
	count := 0
	for i, item := range items {
		flags := byte(0)
		if item.Hidden {
			flags = 1
		}
		infos = append(infos, fullBox("infe", 2, flags, u16(i+1), u16(0), []byte(item.Kind), []byte{0},
			[]byte(item.ContentType+"\x00"))...)
		for kind, to := range item.Refers {
			body := append(u16(i+1), u16(len(to))...)
			for _, id := range to {
				body = append(body, u16(id)...)
			}
			references = append(references, Box(kind, body)...)
		}
		associations = append(append(associations, u16(i+1)...), byte(len(item.Properties)))
		for _, p := range item.Properties {
			count++
			essential := 0
			if kind := string(p[4:8]); kind == "hvcC" || kind == "irot" || kind == "imir" || kind == "clap" || kind == "xxxx" {
				essential = 1 << 15
			}
			properties, associations = append(properties, p...), append(associations, u16(essential|count)...)
		}
		offsets = append(offsets, len(data))
		data = append(data, item.Data...)
	}
	ftyp := Box("ftyp", []byte("heic\x00\x00\x00\x00mif1heic"))
	meta := func(start int) []byte {
		locations := append([]byte{0x44, 0}, u16(len(items))...)
		for i, item := range items {
			locations = append(locations, bytes.Join([][]byte{u16(i + 1), u16(0), u16(1), u32(start + offsets[i]),
				u32(len(item.Data))}, nil)...)
		}
		return fullBox("meta", 0, 0, fullBox("hdlr", 0, 0, []byte("\x00\x00\x00\x00pict"), make([]byte, 13)),
			fullBox("pitm", 0, 0, u16(primary)), fullBox("iloc", 0, 0, locations),
			fullBox("iinf", 0, 0, u16(len(items)), infos), fullBox("iref", 0, 0, references),
			Box("iprp", Box("ipco", properties), fullBox("ipma", 0, 1, u32(len(items)), associations)))
	}
	start := len(ftyp) + len(meta(0)) + 8
	return bytes.Join(append([][]byte{ftyp, meta(start), Box("mdat", data)}, behind...), nil)
}
