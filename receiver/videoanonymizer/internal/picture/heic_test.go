// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"image"
	"image/color"
	"image/draw"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/confine"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/picture/heictest"
)

// confinedTools returns the tools that decode, confined as in the collector, as far as this system supports it.
var confinedTools = sync.OnceValues(func() (media.Tools, error) {
	tools, err := media.FindTools("", "")
	if err != nil {
		return tools, err
	}
	return tools.Confine(context.Background(), confine.Auto, nil)
})

// smooth returns a picture that subsampling and HEVC hardly change.
func smooth(width, height int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetNRGBA(x, y, color.NRGBA{uint8(40 + 180*x/width), uint8(30 + 190*y/height), 90, 255})
		}
	}
	draw.Draw(img, image.Rect(0, 0, width/4, height/4), image.NewUniform(color.NRGBA{250, 250, 10, 255}), image.Point{},
		draw.Src)
	return img
}

func openHEIC(t *testing.T, data []byte) (*Picture, error) {
	t.Helper()
	tools, err := confinedTools()
	require.NoError(t, err)
	file, err := Read(write(t, "a.heic", data), media.Limits{})
	if err != nil {
		return nil, err
	}
	return file.Decode(t.Context(), tools)
}

// maskedHEIC masks part of a HEIC, and returns the output and that part.
func maskedHEIC(t *testing.T, data []byte, opts Options) ([]byte, image.Rectangle) {
	t.Helper()
	p, err := openHEIC(t, data)
	require.NoError(t, err)
	frames := p.Frames()
	part := maskPart(frames[0])
	out := filepath.Join(t.TempDir(), "out.jpg")
	require.NoError(t, p.Write(t.Context(), out, frames, opts))
	written, err := os.ReadFile(out)
	require.NoError(t, err)
	return written, part
}

// TestHEIC checks that a HEIC, however it is coded, becomes a masked JPEG of the same size and content.
func TestHEIC(t *testing.T) {
	none := image.Point{}
	for name, tc := range map[string]struct {
		width, height int
		tile          image.Point
		coding        heictest.Coding
		gray          bool
	}{
		"one picture": {width: 320, height: 240},
		"tiles":       {width: 320, height: 240, tile: image.Pt(128, 128)},
		"odd size":    {width: 321, height: 243, tile: image.Pt(128, 128)},
		"10 bits":     {320, 240, image.Pt(128, 128), heictest.Coding{Format: "yuv420p10le"}, false},
		"12 bits":     {320, 240, none, heictest.Coding{Format: "yuv422p12le"}, false},
		"4:2:2":       {320, 240, image.Pt(128, 128), heictest.Coding{Format: "yuv422p"}, false},
		"4:4:4":       {321, 243, image.Pt(128, 128), heictest.Coding{Format: "yuv444p"}, false},
		"gray":        {320, 240, image.Pt(128, 128), heictest.Coding{Format: "gray"}, true},
		"BT.709":      {320, 240, image.Pt(128, 128), heictest.Coding{Matrix: "bt709"}, false},
		"BT.2020":     {320, 240, none, heictest.Coding{Format: "yuv420p10le", Matrix: "bt2020"}, false},
		"tv":          {320, 240, image.Pt(128, 128), heictest.Coding{Limited: true}, false},
		"unlabeled":   {320, 240, image.Pt(128, 128), heictest.Coding{Unlabeled: true}, false},
		"stream says": {
			320, 240, none,
			heictest.Coding{Unlabeled: true, Matrix: "bt709", Limited: true, X265: "colormatrix=bt709:range=limited"}, false,
		},
		"slices":       {320, 240, image.Pt(160, 128), heictest.Coding{X265: "slices=2:ctu=16"}, false},
		"several rows": {320, 240, image.Pt(64, 64), heictest.Coding{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			img := smooth(tc.width, tc.height)
			out, part := maskedHEIC(t, heictest.Picture(t, img, tc.tile, tc.coding), Options{JPEGQuality: 95})
			h, err := readHeader(out)
			require.NoError(t, err)
			assert.Equal(t, JPEG, h.format)
			got := shown(t, out)
			require.Equal(t, img.Rect.Size(), got.Rect.Size())
			if tc.gray {
				grays := image.NewGray(img.Rect)
				draw.Draw(grays, img.Rect, img, image.Point{}, draw.Src)
				draw.Draw(img, img.Rect, grays, image.Point{}, draw.Src)
			}
			assert.GreaterOrEqual(t, psnr(t, img, got, part.Inset(-16)), 36.0)
			middle := got.NRGBAAt(part.Min.X+part.Dx()/2, part.Min.Y+part.Dy()/2)
			assert.Less(t, int(middle.R)+int(middle.G)+int(middle.B), 48)
		})
	}
}

// TestHEICQuality checks that the tables equal those of the standard library, and that any quality passes verification.
func TestHEICQuality(t *testing.T) {
	heic := heictest.Picture(t, scene(320, 240), image.Pt(128, 128), heictest.Coding{})
	for _, quality := range []int{1, 30, 50, 75, 95, 100} {
		out, _ := maskedHEIC(t, heic, Options{JPEGQuality: quality})
		got, err := readHeader(out)
		require.NoError(t, err)
		want, err := readHeader(jpegOf(t, scene(16, 16), quality))
		require.NoError(t, err)
		assert.Equal(t, want.jpeg.quant, got.jpeg.quant, "%d", quality)
	}
}

// TestHEICOrientation checks that turns and crops are applied in their order, and that EXIF's orientation is ignored.
func TestHEICOrientation(t *testing.T) {
	img := smooth(96, 64)
	turned := func(orientation int) *image.NRGBA { return turns[orientation].pixels(img).(*image.NRGBA) }
	rotated := func(quarters byte) []byte { return heictest.Box("irot", []byte{quarters}) }
	mirrored := func(axis byte) []byte { return heictest.Box("imir", []byte{axis}) }
	for name, tc := range map[string]struct {
		properties [][]byte
		want       *image.NRGBA
	}{
		"as it is":                {nil, img},
		"90 counterclockwise":     {[][]byte{rotated(1)}, turned(8)},
		"180":                     {[][]byte{rotated(2)}, turned(3)},
		"90 clockwise":            {[][]byte{rotated(3)}, turned(6)},
		"top to bottom":           {[][]byte{mirrored(0)}, turned(4)},
		"left to right":           {[][]byte{mirrored(1)}, turned(2)},
		"turned, then mirrored":   {[][]byte{rotated(1), mirrored(1)}, turned(7)},
		"mirrored, then turned":   {[][]byte{mirrored(1), rotated(1)}, turned(5)},
		"cropped":                 {[][]byte{heictest.Crop(40, 30, 0, 0)}, part(img, image.Rect(28, 17, 68, 47))},
		"cropped at odd pixels":   {[][]byte{heictest.Crop(39, 29, -57, -35)}, part(img, image.Rect(0, 0, 39, 29))},
		"cropped, and not to see": {[][]byte{heictest.Crop(40, 30, 2, 2)}, part(img, image.Rect(30, 18, 69, 48))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, tile := range []image.Point{{}, image.Pt(64, 64)} {
				items := heictest.Items(t, img, tile, heictest.Coding{Format: "yuv444p"}, tc.properties...)
				items = append(items, heictest.Item{
					Kind: "Exif", Data: append([]byte{0, 0, 0, 0}, personalEXIF(t, 6)...), Refers: map[string][]int{"cdsc": {1}},
				})
				p, err := openHEIC(t, heictest.File(items, 1))
				require.NoError(t, err)
				want := tc.want.Rect.Size()
				if name == "cropped" { // the crop begins at an odd row, which is dropped
					want.Y--
				}
				assert.Equal(t, want, image.Pt(p.Width, p.Height))
				out, masked := maskedHEIC(t, heictest.File(items, 1), Options{JPEGQuality: 95})
				got := shown(t, out)
				require.Equal(t, want, got.Rect.Size())
				assert.GreaterOrEqual(t, psnr(t, part(tc.want, image.Rectangle{Max: want}), got, masked.Inset(-16)), 25.0)
			}
		})
	}
}

func part(img *image.NRGBA, of image.Rectangle) *image.NRGBA {
	to := image.NewNRGBA(image.Rectangle{Max: of.Size()})
	draw.Draw(to, to.Rect, img, of.Min, draw.Src)
	return to
}

// TestHEICDropsPersonalData checks that the output contains only pixels, the profile and the tags to keep.
func TestHEICDropsPersonalData(t *testing.T) {
	img := smooth(128, 128)
	profile := heictest.Box("colr", []byte("prof"), secretProfile())
	// With a profile, primaries other than those of sRGB are fine.
	items := heictest.Items(t, img, image.Pt(64, 64), heictest.Coding{}, profile, heictest.Colors(12, 13, 6, true))
	items = append(items,
		heictest.Item{Kind: "Exif", Data: append([]byte("\x00\x00\x00\x06Exif\x00\x00"), personalEXIF(t, 6)...),
			Refers: map[string][]int{"cdsc": {1}}},
		heictest.Item{Kind: "mime", ContentType: xmpType, Data: []byte("<x:xmpmeta>SECRET"),
			Refers: map[string][]int{"cdsc": {1}}},
	)
	thumbnail := heictest.Items(t, smooth(64, 64), image.Point{}, heictest.Coding{})[0]
	thumbnail.Refers = map[string][]int{"thmb": {1}}
	heic := heictest.File(append(items, thumbnail), 1)
	p, err := openHEIC(t, heic)
	require.NoError(t, err)
	assert.Empty(t, p.LeftOut)
	assert.NotEmpty(t, p.header.tags)

	out, _ := maskedHEIC(t, heic, Options{JPEGQuality: 90})
	h, err := readHeader(out)
	require.NoError(t, err)
	assert.Empty(t, h.tags)
	assert.NotEmpty(t, h.profile)
	assert.NotContains(t, string(out), "SECRET")
	out, _ = maskedHEIC(t, heic, Options{JPEGQuality: 90, Keep: []string{"Make"}})
	h, err = readHeader(out)
	require.NoError(t, err)
	assert.Len(t, h.tags, 1)
}

// TestHEICLeftOut checks that only the primary picture is in the output, and that LeftOut describes the rest.
func TestHEICLeftOut(t *testing.T) {
	img := smooth(128, 128)
	main := heictest.Items(t, img, image.Pt(64, 64), heictest.Coding{})
	other := heictest.Items(t, scene(64, 64), image.Point{}, heictest.Coding{})[0]
	auxiliary := func(kind string) []heictest.Item {
		item := other
		item.Properties = append([][]byte{heictest.Box("auxC", []byte("\x00\x00\x00\x00"+kind+"\x00"))}, other.Properties...)
		item.Refers = map[string][]int{"auxl": {1}}
		return append(main[:len(main):len(main)], item)
	}
	described := func(kind, contentType string) []heictest.Item {
		return append(main[:len(main):len(main)], heictest.Item{
			Kind: kind, ContentType: contentType, Data: []byte("film"), Refers: map[string][]int{"cdsc": {1}},
		})
	}
	// IDs start at 1, and the tiles of the first item have the IDs 2 to 5.
	first, second := other, other
	first.Refers, second.Refers = map[string][]int{"dimg": {7}}, map[string][]int{"dimg": {6}}
	circle := slices.Concat(main, []heictest.Item{first, second})
	for name, tc := range map[string]struct {
		data []byte
		says string
	}{
		"attachment":   {heictest.File(described("mime", "video/mp4"), 1), "data other than"},
		"link":         {heictest.File(described("uri ", ""), 1), "data other than"},
		"circle":       {heictest.File(circle, 1), "more pictures"},
		"burst":        {heictest.File(append(main[:len(main):len(main)], other), 1), "burst"},
		"burst's last": {heictest.File(append([]heictest.Item{other}, main[1]), 2), "burst"},
		"alpha":        {heictest.File(auxiliary("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"), 1), "transparency"},
		"depth":        {heictest.File(auxiliary("urn:mpeg:hevc:2015:auxid:2"), 1), "a depth map"},
		"gain map":     {heictest.File(auxiliary("urn:com:apple:photo:2020:aux:hdrgainmap"), 1), "a gain map"},
		"matte":        {heictest.File(auxiliary("urn:com:apple:photo:2018:aux:portraiteffectsmatte"), 1), "auxiliary"},
		"live photo":   {heictest.File(main, 1, heictest.Box("mpvd", []byte("film"))), "a film"},
		"sequence":     {heictest.File(main, 1, heictest.Box("moov", []byte("film"))), "a film"},
		"more":         {heictest.File(main, 1, []byte("film behind it")), "data after"},
		"unknown box":  {heictest.File(main, 1, heictest.Box("sefd", []byte("film"))), "data after"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := openHEIC(t, tc.data)
			require.NoError(t, err)
			require.Len(t, p.LeftOut, 1)
			assert.Contains(t, p.LeftOut[0], tc.says)
		})
	}
	p, err := openHEIC(t, heictest.File(main, 1, heictest.Box("free", []byte("a")), make([]byte, 100)))
	require.NoError(t, err)
	assert.Empty(t, p.LeftOut)
}

// TestHEICRefused checks that a picture that may be incomplete is refused, in particular a single tile.
func TestHEICRefused(t *testing.T) {
	img := smooth(256, 128)
	main := heictest.Items(t, img, image.Pt(128, 128), heictest.Coding{})
	whole := heictest.File(main, 1)
	altered := func(i int, change func(item *heictest.Item)) []byte {
		items := append([]heictest.Item(nil), main...)
		items[i].Properties = append([][]byte(nil), items[i].Properties...)
		items[i].Data = bytes.Clone(items[i].Data)
		change(&items[i])
		return heictest.File(items, 1)
	}
	sized := func(i, w, h int) []byte {
		return altered(i, func(item *heictest.Item) {
			for j, p := range item.Properties {
				if string(p[4:8]) == "ispe" {
					item.Properties[j] = heictest.Size(image.Pt(w, h))
				}
			}
		})
	}
	single := func(w, h int) []byte {
		item := heictest.Items(t, smooth(128, 128), image.Point{}, heictest.Coding{})[0]
		item.Properties = append([][]byte{heictest.Size(image.Pt(w, h))}, item.Properties...)
		return heictest.File([]heictest.Item{item}, 1)
	}
	with := func(p ...[]byte) []byte {
		return altered(0, func(item *heictest.Item) { item.Properties = append(item.Properties, p...) })
	}
	coded := func(coding heictest.Coding, properties ...[]byte) []byte {
		return heictest.Picture(t, img, image.Point{}, coding, properties...)
	}
	for name, tc := range map[string]struct {
		data  []byte
		cause error
		says  string
	}{
		"start":                {whole[:12], media.ErrDamaged, "ends in a box"},
		"truncated":            {whole[:len(whole)-100], media.ErrDamaged, ""},
		"a tile for the whole": {single(1024, 768), media.ErrDamaged, "contradict"},
		"tiles of other sizes": {sized(1, 64, 128), media.ErrDamaged, "different sizes"},
		"a larger picture":     {sized(0, 512, 128), media.ErrDamaged, "contradict"},
		"fewer tiles": {
			altered(0, func(i *heictest.Item) { i.Refers = map[string][]int{"dimg": {2}} }),
			media.ErrDamaged, "contradict",
		},
		"hidden tiles": {
			altered(0, func(i *heictest.Item) { i.Data[5] = 100; i.Properties[0] = heictest.Size(image.Pt(100, 128)) }),
			media.ErrDamaged, "contradict",
		},
		"missing tile": {
			altered(0, func(i *heictest.Item) { i.Refers = map[string][]int{"dimg": {2, 9}} }),
			media.ErrDamaged, "missing",
		},
		"a tile of no slice": {altered(1, func(i *heictest.Item) { i.Data = i.Data[:5] }), media.ErrDamaged, ""},
		"a tile of two": {
			altered(1, func(i *heictest.Item) { i.Data = append(i.Data, main[2].Data...) }),
			media.ErrDamaged, "2 pictures",
		},
		"a broken tile": {
			altered(2, func(i *heictest.Item) { copy(i.Data[20:], bytes.Repeat([]byte{0xff}, 200)) }),
			media.ErrDamaged, "",
		},
		"a picture hidden in a tile": {
			altered(1, func(i *heictest.Item) {
				unit := slices.Concat(i.Data[4:], []byte{0, 0, 1}, main[2].Data[4:])
				i.Data = append(binary.BigEndian.AppendUint32(nil, uint32(len(unit))), unit...)
			}),
			media.ErrDamaged, "start code",
		},
		"parameters hidden in others": {
			func() []byte {
				item := heictest.Items(t, img, image.Point{}, heictest.Coding{})[0]
				config := bytes.Clone(item.Properties[0][8:])
				config[22]++ // number of arrays
				item.Properties[0] = heictest.Box("hvcC", config, []byte{34, 0, 1, 0, 7, 34 << 1, 1, 0, 0, 1, 33 << 1, 1})
				return heictest.File([]heictest.Item{item}, 1)
			}(),
			media.ErrDamaged, "start code",
		},
		"turned tile": {
			altered(1, func(i *heictest.Item) { i.Properties = append(i.Properties, heictest.Box("irot", []byte{1})) }),
			media.ErrUnsupported, "turned",
		},
		"another codec": {altered(1, func(i *heictest.Item) { i.Kind = "av01" }), media.ErrUnsupported, "AVIF"},
		"overlay":       {altered(0, func(i *heictest.Item) { i.Kind = "iovl" }), media.ErrUnsupported, "iovl"},
		"no primary":    {heictest.File(main, 9), media.ErrUnsupported, "primary"},
		"a series": {
			append(heictest.Box("ftyp", []byte("hevc\x00\x00\x00\x00hevc")), heictest.Box("moov")...),
			media.ErrUnsupported, "series",
		},
		"essential": {with(heictest.Box("xxxx")), media.ErrUnsupported, "xxxx"},
		"crop after a turn": {
			with(heictest.Box("irot", []byte{1}), heictest.Crop(10, 10, 0, 0)),
			media.ErrUnsupported, "crop",
		},
		"crop outside": {with(heictest.Crop(300, 10, 0, 0)), media.ErrUnsupported, "crop"},
		"PQ": {
			coded(heictest.Coding{Format: "yuv420p10le", Unlabeled: true}, heictest.Colors(9, 16, 9, true)),
			media.ErrUnsupported, "HDR",
		},
		"HLG by its stream, unspecified by its boxes": {
			coded(heictest.Coding{Format: "yuv420p10le", Unlabeled: true, X265: "transfer=arib-std-b67"},
				heictest.Colors(2, 2, 2, true)),
			media.ErrUnsupported, "HDR",
		},
		"HLG by its stream": {
			coded(heictest.Coding{Format: "yuv420p10le", Unlabeled: true, X265: "transfer=arib-std-b67"}),
			media.ErrUnsupported, "HDR",
		},
		"primaries": {
			coded(heictest.Coding{Unlabeled: true}, heictest.Colors(12, 13, 6, true)),
			media.ErrUnsupported, "primaries",
		},
		"primaries by its stream": {
			coded(heictest.Coding{Unlabeled: true, X265: "colorprim=bt2020"}), media.ErrUnsupported, "primaries",
		},
		"matrix": {
			coded(heictest.Coding{Unlabeled: true}, heictest.Colors(1, 13, 8, true)),
			media.ErrUnsupported, "matrix",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openHEIC(t, tc.data)
			require.ErrorIs(t, err, tc.cause)
			assert.ErrorContains(t, err, tc.says)
		})
	}
	path := write(t, "a.heic", with(heictest.Crop(16, 16, 0, 0)))
	_, err := Read(path, media.Limits{MaxWidth: 200})
	require.ErrorIs(t, err, media.ErrLimit, "the size that is decoded counts, too")
	_, err = Read(path, media.Limits{MaxWidth: 256})
	require.NoError(t, err)
}

// TestHEICTables checks that no table makes a small file cost much memory or time.
func TestHEICTables(t *testing.T) {
	for name, data := range heicBombs() {
		t.Run(name, func(t *testing.T) {
			_, err := readHeader(data)
			require.ErrorIs(t, err, media.ErrLimit)
		})
	}
	main := heictest.Items(t, smooth(128, 128), image.Point{}, heictest.Coding{})
	t.Run("NAL units", func(t *testing.T) {
		item := main[0]
		item.Data = slices.Concat(item.Data, bytes.Repeat([]byte{0, 0, 0, 3, 40 << 1, 1, 0}, maxEntries))
		_, err := readHeader(heictest.File([]heictest.Item{item}, 1))
		require.ErrorIs(t, err, media.ErrLimit)
	})
	t.Run("parameter sets", func(t *testing.T) {
		item := main[0]
		item.Properties = append([][]byte{heictest.Box("hvcC", make([]byte, maxHEVCConfig+1))}, item.Properties...)
		_, err := readHeader(heictest.File([]heictest.Item{item}, 1))
		require.ErrorIs(t, err, media.ErrLimit)
	})
	t.Run("properties of an item", func(t *testing.T) {
		item := main[0]
		item.Properties = append(slices.Repeat([][]byte{heictest.Box("free")}, maxProperties), item.Properties...)
		_, err := readHeader(heictest.File([]heictest.Item{item}, 1))
		require.ErrorIs(t, err, media.ErrLimit)
	})
}

// heicBombs returns files whose tables have more entries than pictures need, most of them in few bytes.
func heicBombs() map[string][]byte {
	file := func(boxes ...[]byte) []byte {
		return slices.Concat(heictest.Box("ftyp", []byte("heic\x00\x00\x00\x00heic")),
			heictest.Box("meta", make([]byte, 4), bytes.Join(boxes, nil)))
	}
	info := heictest.Box("iinf", make([]byte, 4), []byte{0, 1},
		heictest.Box("infe", []byte{2, 0, 0, 0, 0, 1, 0, 0}, []byte("hvc1\x00")))
	// With sizes of 0, an extent takes no bytes, and 65,535 of them take 6.
	locations := heictest.Box("iloc", make([]byte, 4), []byte{0, 0, 0x0f, 0xff},
		bytes.Repeat([]byte{0, 1, 0, 0, 0xff, 0xff}, 0xfff))
	unknown := bytes.ReplaceAll(locations, []byte{0, 1, 0, 0, 0xff, 0xff}, []byte{0, 9, 0, 0, 0xff, 0xff})
	empty := bytes.Repeat(heictest.Box("free"), maxEntries+1)
	association := slices.Concat([]byte{0, 1, 255}, bytes.Repeat([]byte{1}, 255))
	return map[string][]byte{
		"extents":                  file(info, locations),
		"extents of unknown items": file(info, unknown),
		"boxes":                    file(empty),
		"items":                    file(heictest.Box("iinf", make([]byte, 6), empty)),
		"properties":               file(info, heictest.Box("iprp", heictest.Box("ipco", empty))),
		"associations": file(info, heictest.Box("iprp", heictest.Box("ipco", heictest.Box("free")),
			heictest.Box("ipma", make([]byte, 4), []byte{0, 0, 0x0f, 0xff}, bytes.Repeat(association, 0xfff)))),
		"references": file(info, heictest.Box("iref", make([]byte, 4),
			bytes.Repeat(heictest.Box("dimg", []byte{0, 1, 0xff, 0xff}, make([]byte, 2*0xffff)), 2))),
	}
}

// TestHEICWithoutDecoder checks that the error does not blame the picture if ffmpeg was built without HEVC.
func TestHEICWithoutDecoder(t *testing.T) {
	heic := heictest.Picture(t, smooth(64, 64), image.Point{}, heictest.Coding{})
	file, err := Read(write(t, "a.heic", heic), media.Limits{})
	require.NoError(t, err)
	script := func(text string) string {
		path := write(t, "tool", []byte("#!/bin/sh\n"+text))
		require.NoError(t, os.Chmod(path, 0o700))
		return path
	}
	for name, tc := range map[string]struct {
		ffmpeg, ffprobe string
		cause           error
	}{
		"no programs": {"/nonexistent", "/nonexistent", media.ErrTool},
		"no demuxer": {
			"/nonexistent", script(`exec ffprobe $(echo "$@" | sed s/hevc/none/)`), media.ErrUnsupported,
		},
		"no decoder": {
			script(`exec ffmpeg $(echo "$@" | sed "s/c:v hevc/c:v none/")`), "ffprobe", media.ErrUnsupported,
		},
		"unknown to ffprobe": {
			"/nonexistent", script(`cat >/dev/null; echo '{"streams": [{}]}'`), media.ErrUnsupported,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.ffprobe == "ffprobe" {
				tc.ffprobe, err = exec.LookPath("ffprobe")
				require.NoError(t, err)
			}
			_, err = file.Decode(t.Context(), media.Tools{FFmpeg: tc.ffmpeg, FFprobe: tc.ffprobe})
			require.ErrorIs(t, err, tc.cause)
		})
	}
}

// TestLibheif compares with libheif, another reader and writer of HEIC, in `make heic-test`. LIBHEIF is the path of the
// Python that has it, and FFMPEG the path of another ffmpeg to decode with, too.
func TestLibheif(t *testing.T) {
	python := os.Getenv("LIBHEIF")
	if python == "" {
		t.Skip("run make heic-test")
	}
	dir := t.TempDir()
	photo := smooth(320, 240)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "photo.png"), pngOf(t, photo), 0o600))
	for name, properties := range map[string][][]byte{
		"tiles": nil, "cropped": {heictest.Crop(100, 80, 0, 0)},
		"turned1": {heictest.Box("irot", []byte{1})}, "turned2": {heictest.Box("irot", []byte{2})},
		"turned3": {heictest.Box("irot", []byte{3})}, "mirrored0": {heictest.Box("imir", []byte{0})},
		"mirrored1": {heictest.Box("imir", []byte{1})},
		"both":      {heictest.Box("irot", []byte{1}), heictest.Box("imir", []byte{1})},
		"all":       {heictest.Crop(100, 80, 20, 40), heictest.Box("irot", []byte{3}), heictest.Box("imir", []byte{0})},
	} {
		heic := heictest.Picture(t, photo, image.Pt(128, 128), heictest.Coding{}, properties...)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".heic"), heic, 0o600))
	}
	out, err := exec.CommandContext(t.Context(), python, "testdata/libheif.py", dir).CombinedOutput()
	require.NoError(t, err, string(out))
	all, err := filepath.Glob(filepath.Join(dir, "*.heic"))
	require.NoError(t, err)
	require.Greater(t, len(all), 20)
	for _, ffmpeg := range []string{"", os.Getenv("FFMPEG")} {
		tools, err := media.FindTools(ffmpeg, "")
		require.NoError(t, err)
		tools, err = tools.Confine(t.Context(), confine.Auto, nil)
		require.NoError(t, err)
		for _, path := range all {
			file, err := Read(path, media.Limits{})
			require.NoError(t, err)
			p, err := file.Decode(t.Context(), tools)
			require.NoError(t, err, path)
			name := strings.TrimSuffix(filepath.Base(path), ".heic")
			assert.Equal(t, name == "burst" || name == "alpha", len(p.LeftOut) > 0, "%s: %v", name, p.LeftOut)
			frames := p.Frames()
			part := maskPart(frames[0])
			written := filepath.Join(t.TempDir(), name+".jpg")
			require.NoError(t, p.Write(t.Context(), written, frames, Options{JPEGQuality: 95}))
			got, err := os.ReadFile(written)
			require.NoError(t, err)
			reference, err := os.ReadFile(strings.TrimSuffix(path, ".heic") + ".png")
			require.NoError(t, err)
			same := psnr(t, shown(t, reference), shown(t, got), part.Inset(-16))
			t.Logf("%s: %.1f dB", name, same)
			assert.GreaterOrEqual(t, same, 45.0, name)
		}
	}
}
