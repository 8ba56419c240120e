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
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gocv.io/x/gocv"
	"golang.org/x/image/tiff"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/picture/heictest"
)

// scene returns a picture with smooth areas, edges and noise. Each corner has a different color.
func scene(width, height int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	seed := uint32(1)
	for y := range height {
		for x := range width {
			seed = seed*1664525 + 1013904223
			noise := int(seed>>24) % 9
			c := color.NRGBA{uint8(min(255, 40+150*x/width+noise)), uint8(min(255, 30+180*y/height+noise)), 90, 255}
			if (x/16+y/16)%5 == 0 {
				c = color.NRGBA{200, 60, 40, 255}
			}
			if x < width/4 && y < height/4 {
				c = color.NRGBA{250, 250, 10, 255}
			}
			img.SetNRGBA(x, y, c)
		}
	}
	return img
}

func encodedAs(t testing.TB, img image.Image, how func(*bytes.Buffer) error) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, how(&out))
	return out.Bytes()
}

func jpegOf(t testing.TB, img image.Image, quality int) []byte {
	t.Helper()
	return encodedAs(t, img, func(b *bytes.Buffer) error { return jpeg.Encode(b, img, &jpeg.Options{Quality: quality}) })
}

func opencvJPEG(t testing.TB, img *image.NRGBA, key, value int) []byte {
	t.Helper()
	data := make([]byte, 0, len(img.Pix))
	for i := 0; i < len(img.Pix); i += 4 {
		data = append(data, img.Pix[i+2], img.Pix[i+1], img.Pix[i])
	}
	mat, err := gocv.NewMatFromBytes(img.Rect.Dy(), img.Rect.Dx(), gocv.MatTypeCV8UC3, data)
	require.NoError(t, err)
	defer mat.Close()
	encoded, err := gocv.IMEncodeWithParams(".jpg", mat, []int{key, value})
	require.NoError(t, err)
	defer encoded.Close()
	return bytes.Clone(encoded.GetBytes())
}

func pngOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	return encodedAs(t, img, func(b *bytes.Buffer) error { return png.Encode(b, img) })
}

func tiffOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	return encodedAs(t, img, func(b *bytes.Buffer) error { return tiff.Encode(b, img, nil) })
}

func webpOf(t testing.TB, img *image.NRGBA, quality int) []byte {
	t.Helper()
	data, err := encodeWebP(img, &header{}, quality, nil)
	require.NoError(t, err)
	return data
}

// ycbcr returns a JPEG of the scene with the given subsampling, and uncommon quantization tables.
func ycbcr(t testing.TB, width, height int, ratio image.YCbCrSubsampleRatio) []byte {
	t.Helper()
	decoded, err := jpeg.Decode(bytes.NewReader(jpegOf(t, scene(width, height), 85)))
	require.NoError(t, err)
	img := image.NewYCbCr(decoded.Bounds(), ratio)
	for y := range height {
		for x := range width {
			r, g, b, _ := decoded.At(x, y).RGBA()
			yy, cb, cr := color.RGBToYCbCr(uint8(r>>8), uint8(g>>8), uint8(b>>8))
			img.Y[img.YOffset(x, y)], img.Cb[img.COffset(x, y)], img.Cr[img.COffset(x, y)] = yy, cb, cr
		}
	}
	h := &header{orientation: 1}
	h.jpeg.components = []jpegComponent{{1, 1, 0}, {1, 1, 1}, {1, 1, 1}}
	for i := range 64 {
		h.jpeg.quant[0][i], h.jpeg.quant[1][i] = uint16(2+i/4), uint16(3+i/2)
	}
	c, err := newJPEGCanvas(img, h)
	require.NoError(t, err)
	file, err := encodeJPEG(&c.planes, h, nil)
	require.NoError(t, err)
	return file
}

// with inserts segments after the start of a JPEG.
func with(file []byte, segments ...[]byte) []byte {
	return append(append(bytes.Clone(file[:2]), bytes.Join(segments, nil)...), file[2:]...)
}

func segment(marker byte, body ...[]byte) []byte {
	e := jpegEncoder{}
	e.segment(marker, body...)
	return e.out
}

// personalEXIF returns an EXIF block as cameras write it, with a thumbnail, a position, and a serial number.
func personalEXIF(t testing.TB, orientation uint16) []byte {
	t.Helper()
	thumbnail := jpegOf(t, scene(160, 120), 60)
	var main, sub, gps ifd
	main.short(tagOrientation, orientation)
	main.ascii(tagMake, "SecretMaker")
	main.ascii(tagArtist, "SecretArtist")
	sub.ascii(tagOriginal, "2026:11:28 10:11:12")
	sub.ascii(0xa431, "SecretSerial")
	sub.undefined(0x927c, []byte("SecretMakerNote"))
	gps.ascii(1, "N")
	gps.undefined(2, []byte("SecretPosition"))
	main.pointer(tagEXIF, &sub)
	main.pointer(0x8825, &gps)
	block := main.file()
	// The second directory, with the thumbnail, is linked from the end of the first one's list.
	second := &ifd{}
	second.long(0x0201, uint32(len(block)+2+2*12+4))
	second.long(0x0202, uint32(len(thumbnail)))
	at := 8 + 2 + 12*int(binary.LittleEndian.Uint16(block[8:]))
	binary.LittleEndian.PutUint32(block[at:], uint32(len(block)))
	return append(second.append(block), thumbnail...)
}

// secretProfile returns a profile that names a device, with sRGB's matrix and a gamma of 2.2.
func secretProfile() []byte {
	xyz := func(x, y, z float64) []byte {
		b := []byte("XYZ \x00\x00\x00\x00")
		for _, v := range []float64{x, y, z} {
			b = binary.BigEndian.AppendUint32(b, uint32(int32(v*65536)))
		}
		return b
	}
	curve := []byte("curv\x00\x00\x00\x00\x00\x00\x00\x01\x02\x33\x00\x00")
	parts := []struct {
		name string
		data []byte
	}{
		{"rXYZ", xyz(.4361, .2225, .0139)}, {"gXYZ", xyz(.3851, .7169, .0971)}, {"bXYZ", xyz(.1431, .0606, .7141)},
		{"rTRC", curve}, {"gTRC", curve}, {"bTRC", curve}, {"wtpt", xyz(.9642, 1, .8249)},
		{"dmdd", []byte("text\x00\x00\x00\x00SecretMonitor\x00\x00\x00")},
		{"desc", []byte("desc\x00\x00\x00\x00SecretName\x00\x00")},
	}
	p := make([]byte, 128)
	p[iccVersionAt] = 2
	copy(p[iccClassAt:], "mntrRGB XYZ ")
	copy(p[iccSignatureAt:], "acsp")
	copy(p[48:], "SecrSecr")
	p = binary.BigEndian.AppendUint32(p, uint32(len(parts)))
	at := len(p) + 12*len(parts)
	for _, part := range parts {
		p = append(p, part.name...)
		p = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(p, uint32(at)), uint32(len(part.data)))
		at += len(part.data)
	}
	for _, part := range parts {
		p = append(p, part.data...)
	}
	binary.BigEndian.PutUint32(p, uint32(len(p)))
	return p
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

func open(t *testing.T, data []byte) *Picture {
	t.Helper()
	file, err := Read(write(t, "in", data), media.Limits{})
	require.NoError(t, err)
	p, err := file.Decode(t.Context(), media.Tools{})
	require.NoError(t, err)
	return p
}

// maskPart masks the part of a frame that tests mask, and returns it: a quarter of the width and height, from the
// center on.
func maskPart(f *media.Frame) image.Rectangle {
	part := image.Rect(f.Width/2, f.Height/2, f.Width*3/4, f.Height*3/4)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			f.Planes[0].Data[y*f.Width+x], f.Planes[3].Data[y*f.Width+x] = 0, 255
			c := y>>f.Format.ChromaShiftY*f.Planes[1].Width + x>>f.Format.ChromaShiftX
			f.Planes[1].Data[c], f.Planes[2].Data[c] = 128, 128
		}
	}
	return part
}

// masked writes a picture with one part masked, and returns the output and that part, as displayed.
func masked(t *testing.T, data []byte, opts Options) ([]byte, image.Rectangle) {
	t.Helper()
	p := open(t, data)
	frames := p.Frames()
	part := maskPart(frames[0])
	out := filepath.Join(t.TempDir(), "out")
	require.NoError(t, p.Write(t.Context(), out, frames, opts))
	written, err := os.ReadFile(out)
	require.NoError(t, err)
	return written, part
}

// shown returns the pixels of a file as displayed.
func shown(t *testing.T, data []byte) *image.NRGBA {
	t.Helper()
	h, err := readHeader(data)
	require.NoError(t, err)
	decoded, err := decode(t.Context(), data, &h)
	require.NoError(t, err)
	img := image.NewNRGBA(image.Rectangle{Max: decoded.Bounds().Size()})
	if p, ok := decoded.(*image.YCbCr); ok && h.format == WebP {
		img = fromWebP(p, nil, 0)
	} else {
		draw.Draw(img, img.Rect, decoded, decoded.Bounds().Min, draw.Src)
	}
	return turns[h.orientation].pixels(img).(*image.NRGBA)
}

// psnr compares two pictures outside of a part, in dB. It is +Inf if they are equal.
func psnr(t *testing.T, a, b *image.NRGBA, without image.Rectangle) float64 {
	t.Helper()
	require.Equal(t, a.Rect, b.Rect)
	sum, n := 0.0, 0
	for y := range a.Rect.Dy() {
		for x := range a.Rect.Dx() {
			if image.Pt(x, y).In(without) {
				continue
			}
			for i := range 4 {
				d := float64(a.Pix[a.PixOffset(x, y)+i]) - float64(b.Pix[b.PixOffset(x, y)+i])
				sum += d * d
				n++
			}
		}
	}
	if sum == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(255*255*float64(n)/sum)
}

// TestFormats checks that each format is written as itself, with its size and bit depth, masked where it should be, and
// unchanged everywhere else.
func TestFormats(t *testing.T) {
	img := scene(201, 131)
	gray, gray16, deep := image.NewGray(img.Rect), image.NewGray16(img.Rect), image.NewNRGBA64(img.Rect)
	alpha := image.NewNRGBA(img.Rect)
	palette := image.NewPaletted(img.Rect, color.Palette{color.NRGBA{9, 8, 7, 255}, color.NRGBA{200, 100, 50, 255}})
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			c := img.NRGBAAt(x, y)
			deep.SetNRGBA64(x, y, color.NRGBA64{uint16(c.R)*257 + 3, uint16(c.G)*257 + 5, uint16(x * 7), 65535})
			gray16.SetGray16(x, y, color.Gray16{uint16(x*300 + y)})
			c.A = uint8(x)
			alpha.SetNRGBA(x, y, c)
			palette.SetColorIndex(x, y, uint8((x+y)/8%2))
		}
	}
	draw.Draw(gray, gray.Rect, img, image.Point{}, draw.Src)
	// With Adobe's marker, the planes are red, green and blue.
	rgb := ycbcr(t, 201, 131, image.YCbCrSubsampleRatio444)
	const jfif = 20 // bytes
	adobe := segment(markerAPP14, []byte("Adobe\x00\x64\x00\x00\x00\x00\x00"))
	rgb = with(append(bytes.Clone(rgb[:2]), rgb[jfif:]...), adobe)
	same, nearly := math.Inf(1), 45.0
	for _, tc := range []struct {
		name   string
		data   []byte
		format Format
		least  float64 // dB outside the mask
		exact  bool    // black is exactly 0
		model  color.Model
	}{
		{"jpeg 420", jpegOf(t, img, 90), JPEG, nearly, false, color.YCbCrModel},
		{"jpeg 420 of low quality", jpegOf(t, img, 10), JPEG, nearly, false, color.YCbCrModel},
		{"jpeg 420 of quality 100", jpegOf(t, img, 100), JPEG, nearly, false, color.YCbCrModel},
		{"jpeg 422", ycbcr(t, 201, 131, image.YCbCrSubsampleRatio422), JPEG, nearly, false, color.YCbCrModel},
		{"jpeg 440", ycbcr(t, 201, 131, image.YCbCrSubsampleRatio440), JPEG, nearly, false, color.YCbCrModel},
		{"jpeg 444", ycbcr(t, 201, 131, image.YCbCrSubsampleRatio444), JPEG, nearly, false, color.YCbCrModel},
		{"jpeg 411", ycbcr(t, 201, 131, image.YCbCrSubsampleRatio411), JPEG, nearly, false, color.YCbCrModel},
		{"jpeg gray", jpegOf(t, gray, 85), JPEG, nearly, false, color.GrayModel},
		{"jpeg of RGB", rgb, JPEG, 35, false, color.YCbCrModel},
		{"jpeg progressive", opencvJPEG(t, img, gocv.IMWriteJpegProgressive, 1), JPEG, nearly, false, color.YCbCrModel},
		{"jpeg with restarts", opencvJPEG(t, img, gocv.IMWriteJpegRstInterval, 3), JPEG, nearly, false, color.YCbCrModel},
		{"jpeg of a pixel", jpegOf(t, scene(1, 1), 85), JPEG, 30, false, color.YCbCrModel},
		{"png", pngOf(t, img), PNG, same, true, color.RGBAModel},
		{"png gray", pngOf(t, gray), PNG, same, true, color.GrayModel},
		{"png gray of 16 bits", pngOf(t, gray16), PNG, same, true, color.Gray16Model},
		{"png of 16 bits", pngOf(t, deep), PNG, same, true, color.RGBA64Model},
		{"png alpha", pngOf(t, alpha), PNG, same, true, color.NRGBAModel},
		{"png palette", pngOf(t, palette), PNG, same, true, color.RGBAModel},
		{"tiff", tiffOf(t, img), TIFF, same, true, color.RGBAModel},
		{"tiff gray", tiffOf(t, gray), TIFF, same, true, color.GrayModel},
		{"tiff gray of 16 bits", tiffOf(t, gray16), TIFF, same, true, color.Gray16Model},
		{"tiff of 16 bits", tiffOf(t, deep), TIFF, same, true, color.RGBA64Model},
		{"tiff alpha", tiffOf(t, alpha), TIFF, same, true, color.NRGBAModel},
		{"webp lossless", webpOf(t, img, lossless), WebP, same, true, color.NRGBAModel},
		{"webp", webpOf(t, img, 90), WebP, 33, false, color.YCbCrModel},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, part := masked(t, tc.data, Options{WebPQuality: 90})
			h, err := readHeader(out)
			require.NoError(t, err)
			assert.Equal(t, tc.format, h.format)
			decoded, err := decode(t.Context(), out, &h)
			require.NoError(t, err)
			assert.Equal(t, tc.model, decoded.ColorModel())
			before, after := shown(t, tc.data), shown(t, out)
			// The 16-pixel blocks of a JPEG at the edge of the mask are coded anew.
			without := part.Inset(-16)
			if tc.least == same {
				without = part
			}
			assert.GreaterOrEqual(t, psnr(t, before, after, without), tc.least)
			inner := part.Inset(8)
			if tc.exact {
				inner = part
			}
			for y := inner.Min.Y; y < inner.Max.Y; y++ {
				for x := inner.Min.X; x < inner.Max.X; x++ {
					c := after.NRGBAAt(x, y)
					if tc.exact {
						require.Equal(t, color.NRGBA{0, 0, 0, 255}, c, "%d, %d", x, y)
					}
					require.Less(t, int(c.R)+int(c.G)+int(c.B), 48, "%d, %d", x, y)
				}
			}
		})
	}
}

// TestJPEGSubsamplingAndTables checks that a JPEG keeps its subsampling and its quantization tables, and so its
// quality.
func TestJPEGSubsamplingAndTables(t *testing.T) {
	for _, ratio := range []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
		image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411,
	} {
		t.Run(ratio.String(), func(t *testing.T) {
			source := ycbcr(t, 77, 50, ratio)
			out, _ := masked(t, source, Options{})
			before, err := readHeader(source)
			require.NoError(t, err)
			after, err := readHeader(out)
			require.NoError(t, err)
			assert.Equal(t, before.jpeg, after.jpeg)
			decoded, err := jpeg.Decode(bytes.NewReader(out))
			require.NoError(t, err)
			assert.Equal(t, ratio, decoded.(*image.YCbCr).SubsampleRatio)
		})
	}
}

// TestOrientation checks that the pipeline sees pictures upright, that a JPEG keeps its blocks and its orientation tag,
// that other formats are written upright, and that all of them are displayed as before.
func TestOrientation(t *testing.T) {
	for orientation := uint16(1); orientation <= 8; orientation++ {
		img := scene(90, 61)
		upright := turns[orientation].pixels(img).(*image.NRGBA)
		var dir ifd
		dir.short(tagOrientation, orientation)
		block := dir.file()
		for name, data := range map[string][]byte{
			"jpeg": with(jpegOf(t, img, 95), segment(markerAPP1, []byte(exifHeader), block)),
			"png": func() []byte {
				file := pngOf(t, img)
				return bytes.Join([][]byte{file[:33], appendChunk(nil, "eXIf", block), file[33:]}, nil)
			}(),
			"webp": func() []byte {
				file, err := extendWebP(webpOf(t, img, lossless), img.Rect.Size(), false, &header{}, block)
				require.NoError(t, err)
				return file
			}(),
		} {
			p := open(t, data)
			f := p.Frames()[0]
			require.Equal(t, upright.Rect.Size(), image.Pt(f.Width, f.Height), "%s %d", name, orientation)
			for _, at := range []image.Point{{2, 2}, {f.Width - 3, 2}, {2, f.Height - 3}, {f.Width - 3, f.Height - 3}} {
				c := upright.NRGBAAt(at.X, at.Y)
				want, _, _ := color.RGBToYCbCr(c.R, c.G, c.B)
				assert.InDelta(t, want, f.Planes[0].Data[at.Y*f.Width+at.X], 20, "%s %d %v", name, orientation, at)
			}
			out, part := masked(t, data, Options{})
			h, err := readHeader(out)
			require.NoError(t, err)
			if name == "jpeg" {
				assert.EqualValues(t, orientation, h.orientation)
			} else {
				assert.Equal(t, 1, h.orientation)
			}
			assert.GreaterOrEqual(t, psnr(t, shown(t, data), shown(t, out), part.Inset(-16)), 40.0, "%s %d", name, orientation)
			middle := shown(t, out).NRGBAAt(part.Min.X+part.Dx()/2, part.Min.Y+part.Dy()/2)
			assert.Less(t, int(middle.R)+int(middle.G)+int(middle.B), 48, "%s %d", name, orientation)
		}
	}
}

// TestTurns checks that each turn and its inverse cancel out, and that the first pixel goes where EXIF says.
func TestTurns(t *testing.T) {
	first := [9]image.Point{1: {0, 0}, 2: {2, 0}, 3: {2, 1}, 4: {0, 1}, 5: {0, 0}, 6: {1, 0}, 7: {1, 2}, 8: {0, 2}}
	data := []byte{1, 2, 3, 4, 5, 6} // 3 x 2
	for o := 1; o <= 8; o++ {
		turned := turns[o].plane(data, 3, 2, 1)
		w, h := turns[o].size(3, 2)
		assert.EqualValues(t, 1, turned[first[o].Y*w+first[o].X], "orientation %d", o)
		assert.Equal(t, data, turns[o].back().plane(turned, w, h, 1), "orientation %d", o)
	}
}

// TestPersonalDataIsDropped checks that the output has nothing that a camera or an editor writes about a picture, and
// none of the pictures hidden in it.
func TestPersonalDataIsDropped(t *testing.T) {
	img := scene(120, 90)
	block := personalEXIF(t, 6)
	xmp := []byte("http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta>SecretXMP</x:xmpmeta>")
	iptc := []byte("Photoshop 3.0\x008BIM\x04\x04SecretIPTC")
	profile := secretProfile()
	trailing := append(jpegOf(t, scene(64, 48), 80), "SecretEnd"...)
	var icc []byte
	icc = append(append(icc, iccHeader+"\x01\x01"...), profile...)
	secretPNG := func() []byte {
		file := pngOf(t, img)
		extra := appendChunk(nil, "eXIf", block)
		extra = appendChunk(extra, "tEXt", []byte("Author\x00SecretText"))
		extra = appendChunk(extra, "tIME", []byte{7, 0xd0, 1, 1, 1, 1, 1})
		h := &header{profile: profile}
		extra = append(extra, pngExtras(h, nil)...)
		return append(bytes.Join([][]byte{file[:33], extra, file[33:]}, nil), "SecretEnd"...)
	}()
	secretTIFF := func() []byte {
		file, err := encodeTIFF(img, &header{profile: profile}, []tag{{tagArtist, "SecretArtist"}, {tagMake, "SecretMaker"}})
		require.NoError(t, err)
		return append(file, "SecretEnd"...)
	}()
	secretWebP := func() []byte {
		file, err := extendWebP(webpOf(t, img, 80), img.Rect.Size(), false, &header{profile: profile}, block)
		require.NoError(t, err)
		xmp := append(binary.LittleEndian.AppendUint32([]byte("XMP "), 10), "SecretXMP!"...)
		file = append(file, xmp...)
		binary.LittleEndian.PutUint32(file[4:], uint32(len(file)-8))
		return append(file, "SecretEnd"...)
	}()
	for name, data := range map[string][]byte{
		"jpeg": append(with(jpegOf(t, img, 85), segment(markerAPP1, []byte(exifHeader), block), segment(markerAPP1, xmp),
			segment(markerAPP2, icc), segment(0xed, iptc), segment(0xfe, []byte("SecretComment"))), trailing...),
		"png": secretPNG, "tiff": secretTIFF, "webp": secretWebP,
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, string(data), "Secret")
			for _, keep := range [][]string{nil, {"creation_time", "chapters"}} {
				out, _ := masked(t, data, Options{WebPQuality: 80, Keep: keep})
				for _, secret := range []string{"Secr", "XMP", "8BIM", "GPS"} {
					assert.NotContains(t, string(out), secret)
				}
				assert.LessOrEqual(t, bytes.Count(out, []byte{0xff, 0xd8, 0xff}), 1, "a thumbnail")
				h, err := readHeader(out)
				require.NoError(t, err)
				assert.NotEmpty(t, h.profile, "colors need it")
				assert.Equal(t, rebuildProfile(profile), h.profile)
				if keep == nil || name == "tiff" {
					assert.Empty(t, h.tags)
				} else {
					assert.Equal(t, []tag{{tagOriginal, "2026:11:28 10:11:12"}}, h.tags)
				}
			}
		})
	}
}

// TestDensityAndColorsAreKept checks that what determines the look of pixels and their printed size is kept.
func TestDensityAndColorsAreKept(t *testing.T) {
	img := scene(64, 48)
	file := pngOf(t, img)
	srgb, gamma := chunk{"sRGB", []byte{0}}, chunk{"gAMA", []byte{0, 0, 0xb1, 0x8f}}
	extra := appendChunk(appendChunk(nil, srgb.name, srgb.body), gamma.name, gamma.body)
	extra = appendChunk(extra, "pHYs", []byte{0, 0, 0x2e, 0x18, 0, 0, 0x2e, 0x18, 1}) // 300 dpi
	out, _ := masked(t, bytes.Join([][]byte{file[:33], extra, file[33:]}, nil), Options{})
	h, err := readHeader(out)
	require.NoError(t, err)
	assert.Equal(t, []chunk{srgb, gamma}, h.png.chunks)
	assert.Equal(t, density{2, 118, 118}, h.density)

	jfif := segment(markerAPP0, []byte("JFIF\x00\x01\x02\x01\x01\x2c\x01\x2c\x00\x00"))
	out, _ = masked(t, with(jpegOf(t, img, 85), jfif), Options{})
	h, err = readHeader(out)
	require.NoError(t, err)
	assert.Equal(t, density{1, 300, 300}, h.density)

	// Cameras write EXIF only.
	for orientation := uint16(1); orientation <= 6; orientation += 5 {
		var printed ifd
		printed.short(tagOrientation, orientation)
		printed.fraction(tagXResolution, 240, 1)
		printed.fraction(tagYResolution, 240, 1)
		printed.short(tagUnit, 2)
		web, err := extendWebP(webpOf(t, img, lossless), img.Rect.Size(), false, &header{}, printed.file())
		require.NoError(t, err)
		for name, data := range map[string][]byte{
			"jpeg": with(jpegOf(t, img, 85), segment(markerAPP1, []byte(exifHeader), printed.file())), "webp": web,
		} {
			out, _ = masked(t, data, Options{})
			h, err = readHeader(out)
			require.NoError(t, err)
			assert.Equal(t, density{1, 240, 240}, h.density, "%s %d", name, orientation)
		}
	}

	var main, sub, interop ifd
	interop.ascii(tagInteropIndex, "R03")
	sub.pointer(tagInteroperate, &interop)
	main.pointer(tagEXIF, &sub)
	out, _ = masked(t, with(jpegOf(t, img, 85), segment(markerAPP1, []byte(exifHeader), main.file())), Options{})
	h, err = readHeader(out)
	require.NoError(t, err)
	assert.True(t, h.adobeRGB)
}

// TestRepeats checks that the first counts of anything that may be in a file once, so that repeats take no memory or
// time.
func TestRepeats(t *testing.T) {
	img := scene(32, 24)
	block := func(orientation uint16, artist string) []byte {
		var d ifd
		d.short(tagOrientation, orientation)
		d.ascii(tagArtist, artist)
		return d.file()
	}
	file := pngOf(t, img)
	colors := &header{profile: secretProfile(), density: density{0, 1, 2}}
	colors.png.chunks = []chunk{{"gAMA", []byte{0, 0, 0, 1}}, {"cHRM", make([]byte, 32)}}
	extra := pngExtras(colors, nil)
	colors.png.chunks[0].body = []byte{0, 0, 0, 2}
	colors.profile, colors.density = []byte("another"), density{0, 3, 4}
	repeated := bytes.Repeat(pngExtras(colors, nil), 3)
	artists := appendChunk(appendChunk(nil, "eXIf", block(6, "first")), "eXIf", block(3, "second"))
	h, err := readHeader(bytes.Join([][]byte{file[:33], extra, repeated, artists, file[33:]}, nil))
	require.NoError(t, err)
	assert.Equal(t, []chunk{{"gAMA", []byte{0, 0, 0, 1}}, {"cHRM", make([]byte, 32)}}, h.png.chunks)
	assert.Equal(t, density{0, 1, 2}, h.density)
	assert.Equal(t, rebuildProfile(secretProfile()), h.profile)
	assert.Equal(t, []tag{{tagArtist, "first"}}, h.tags)
	assert.Equal(t, 6, h.orientation)

	segments := [][]byte{segment(markerAPP1, []byte(exifHeader), block(6, "first"))}
	for range 200 {
		long := string(bytes.Repeat([]byte("a"), 1000))
		segments = append(segments, segment(markerAPP1, []byte(exifHeader), block(3, long)))
	}
	out, _ := masked(t, with(jpegOf(t, img, 85), segments...), Options{Keep: []string{"artist"}})
	h, err = readHeader(out)
	require.NoError(t, err)
	assert.Equal(t, []tag{{tagArtist, "first"}}, h.tags)
	assert.Equal(t, 6, h.orientation)
}

// TestLongSegment checks that data that does not fit into a segment is not written to a JPEG.
func TestLongSegment(t *testing.T) {
	h := &header{jpeg: jpegHeader{components: []jpegComponent{{}}}}
	c, err := newJPEGCanvas(image.NewGray(image.Rect(0, 0, 8, 8)), h)
	require.NoError(t, err)
	_, err = encodeJPEG(&c.planes, &header{}, []tag{{tagArtist, string(make([]byte, 1<<16))}})
	require.Error(t, err)
}

// tagOf returns the entry of a tag in a profile's tag table, from after its name on.
func tagOf(profile []byte, name string) []byte {
	_, after, _ := bytes.Cut(profile, []byte(name))
	return after
}

// TestProfileOfOverlappingTags checks that a color tag does not include data of a tag that names something, and that
// tags that share data do not make a profile many times as large.
func TestProfileOfOverlappingTags(t *testing.T) {
	changed := func(name string, at, size func(uint32) uint32) []byte {
		p := secretProfile()
		entry := tagOf(p, name)
		binary.BigEndian.PutUint32(entry, at(binary.BigEndian.Uint32(entry)))
		binary.BigEndian.PutUint32(entry[4:], size(binary.BigEndian.Uint32(entry[4:])))
		return p
	}
	same := func(v uint32) uint32 { return v }
	require.NotNil(t, rebuildProfile(changed("wtpt", same, same)))
	first := binary.BigEndian.Uint32(tagOf(secretProfile(), "rXYZ"))
	shared := rebuildProfile(changed("gXYZ", func(uint32) uint32 { return first }, same))
	assert.NotNil(t, shared, "tags may share their data")
	for name, p := range map[string][]byte{
		"long":  changed("wtpt", same, func(v uint32) uint32 { return v + 30 }),
		"inner": changed("gXYZ", func(uint32) uint32 { return first + 4 }, same),
		"text":  bytes.Replace(secretProfile(), []byte("curv"), []byte("text"), 1),
	} {
		assert.NotContains(t, string(rebuildProfile(p)), "Secret", name)
		assert.Nil(t, rebuildProfile(p), name)
	}

	large := secretProfile()
	at, size := uint32(len(large)), uint32(1<<20)
	large = append(append(large, "curv"...), make([]byte, size-4)...)
	for _, name := range []string{"rTRC", "gTRC", "bTRC", "rXYZ", "gXYZ", "bXYZ"} {
		entry := tagOf(large, name)
		binary.BigEndian.PutUint32(entry, at)
		binary.BigEndian.PutUint32(entry[4:], size)
	}
	assert.Nil(t, rebuildProfile(large))
}

// TestViews checks that samples that use only some of 16 bits look like 8-bit samples, and that transparency is seen on
// black and on white.
func TestViews(t *testing.T) {
	img := scene(90, 60)
	want := open(t, pngOf(t, img)).Frames()[0].Planes[0].Data
	deep := func(shift int, caption bool) *image.NRGBA64 {
		to := image.NewNRGBA64(img.Rect)
		for i, v := range img.Pix {
			s := uint16(v) << shift
			if i%4 == 3 || caption && i < 4*90*6 {
				s = 65535
			}
			binary.BigEndian.PutUint16(to.Pix[2*i:], s)
		}
		return to
	}
	hot := deep(2, false)
	copy(hot.Pix[8*2000:], bytes.Repeat([]byte{255}, 8))
	gray := image.NewGray16(img.Rect)
	for i := range gray.Pix[:len(gray.Pix)/2] {
		binary.BigEndian.PutUint16(gray.Pix[2*i:], uint16(want[i])<<4)
	}
	clear, opaque := image.NewNRGBA(img.Rect), image.NewNRGBA(img.Rect)
	for i := range want {
		clear.Pix[4*i+3] = 255 - want[i]
		copy(opaque.Pix[4*i:], []byte{255, 255, 255, want[i]})
	}
	for name, tc := range map[string]struct {
		data []byte
		most int // most views
	}{
		"8 bits": {pngOf(t, img), 1}, "16 bits": {pngOf(t, deep(8, false)), 1}, "12 bits": {pngOf(t, deep(4, false)), 1},
		"10 bits": {tiffOf(t, deep(2, false)), 1}, "low byte": {pngOf(t, deep(0, false)), 1},
		"10 bits and a hot pixel":   {pngOf(t, hot), 2},
		"12 bits and a caption":     {pngOf(t, deep(4, true)), 2},
		"gray of 12 bits":           {tiffOf(t, gray), 1},
		"opacity of black on white": {pngOf(t, clear), 3}, "opacity of white on black": {pngOf(t, opaque), 3},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, tc.data)
			frames := p.Frames()
			assert.LessOrEqual(t, len(frames), tc.most)
			nearest := 255.0
			for _, f := range frames {
				var sum sums
				sum.add(want[90*6:], f.Planes[0].Data[90*6:], nil)
				nearest = min(nearest, sum.difference().mean)
			}
			assert.Less(t, nearest, 2.0)

			part := maskPart(frames[len(frames)-1]) // what is masked in one view is masked in the output
			out := filepath.Join(t.TempDir(), "out")
			require.NoError(t, p.Write(t.Context(), out, frames, Options{}))
			written, err := os.ReadFile(out)
			require.NoError(t, err)
			for _, at := range []image.Point{part.Min, part.Max.Sub(image.Pt(1, 1))} {
				assert.Equal(t, color.NRGBA{0, 0, 0, 255}, shown(t, written).NRGBAAt(at.X, at.Y))
			}
			assert.True(t, math.IsInf(psnr(t, shown(t, tc.data), shown(t, written), part), 1))
		})
	}
}

// TestDarkDetail checks that nothing is left under a mask, even if 8 bits or a color conversion cannot tell it apart.
func TestDarkDetail(t *testing.T) {
	img := image.NewGray16(image.Rect(0, 0, 40, 40))
	for i := range img.Pix[:len(img.Pix)/2] {
		img.Pix[2*i+1] = byte(i * 37) // only the low byte
	}
	out, part := masked(t, pngOf(t, img), Options{})
	decoded, err := png.Decode(bytes.NewReader(out))
	require.NoError(t, err)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			require.Zero(t, decoded.(*image.Gray16).Gray16At(x, y).Y)
		}
	}
}

// TestRefused checks that a picture that cannot be written as it was is refused, with the cause and what to do.
func TestRefused(t *testing.T) {
	img := scene(64, 48)
	photo, picture := jpegOf(t, img, 85), pngOf(t, img)
	two := append(bytes.Clone(photo), photo...)
	replaced := func(data []byte, old, now string) []byte { return bytes.Replace(data, []byte(old), []byte(now), 1) }
	large := bytes.Clone(picture)
	binary.BigEndian.PutUint32(large[16:], 60000)
	binary.BigEndian.PutUint32(large[20:], 60000)
	scans := bytes.Repeat(segment(markerSOS, []byte{1, 1, 0, 0, 63, 0}), maxScans+1)
	sof := bytes.Index(photo, []byte{0xff, markerSOF0})
	changed := func(at int, to byte) []byte {
		data := bytes.Clone(photo)
		data[at] = to
		return data
	}
	animated := bytes.Join([][]byte{picture[:33], appendChunk(nil, "acTL", make([]byte, 8)), picture[33:]}, nil)
	cmyk := image.NewCMYK(img.Rect)
	// With two sizes, a decoder that uses the wrong one allocates gigabytes before it fails.
	header := func(w, h uint32) []byte {
		return appendChunk(nil, "IHDR", append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h),
			8, 6, 0, 0, 0))
	}
	twoHeaders := bytes.Join([][]byte{[]byte(pngSignature), header(100_000, 100_000), picture[33 : len(picture)-12],
		header(1, 1), picture[len(picture)-12:]}, nil)
	lateHeader := bytes.Join([][]byte{picture[:8], appendChunk(nil, "tEXt", []byte("a\x00b")), picture[8:]}, nil)
	riff := func(chunks ...[]byte) []byte {
		body := bytes.Join(chunks, nil)
		return append(append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+len(body))), "WEBP"...), body...)
	}
	frame := webpOf(t, img, 80)[12:]
	tiny := webpOf(t, scene(1, 1), 80)[12:]
	extended := func(flags, w, h byte) []byte {
		return []byte{'V', 'P', '8', 'X', 10, 0, 0, 0, flags, 0, 0, 0, w, 0, h, h, 0, h}
	}
	for name, tc := range map[string]struct {
		data  []byte
		cause error
		says  string
	}{
		"empty":            {nil, media.ErrNotPicture, "empty"},
		"text":             {[]byte("no picture at all"), media.ErrNotPicture, "not a JPEG"},
		"gif":              {[]byte("GIF89a......"), media.ErrNotPicture, ".gif"},
		"jpeg truncated":   {photo[:len(photo)/2], media.ErrDamaged, ""},
		"jpeg's start":     {photo[:4], media.ErrDamaged, ""},
		"jpeg without end": {photo[:len(photo)-2], media.ErrDamaged, ""},
		"png truncated":    {picture[:len(picture)/2], media.ErrDamaged, ""},
		"png flipped":      {replaced(picture, "IDAT", "IDAU"), media.ErrDamaged, ""},
		"png bomb":         {large, media.ErrLimit, "(limits::width"},
		"apng":             {animated, media.ErrUnsupported, "animated"},
		"series":           {bytes.Join([][]byte{two, two, photo}, nil), media.ErrNotPicture, ".mjpeg"},
		"scans":            {with(photo, scans), media.ErrLimit, "scans"},
		"jpeg of 12 bits":  {changed(sof+4, 12), media.ErrUnsupported, "12 bits"},
		"arithmetic":       {changed(sof+1, 0xc9), media.ErrUnsupported, "arithmetic"},
		"tiff of pages":    {twoPages(t, img, false), media.ErrUnsupported, "2 pages"},
		"tiff cmyk":        {tiffCMYK(cmyk), media.ErrUnsupported, "RGB"},
		"webp truncated":   {webpOf(t, img, 80)[:300], media.ErrDamaged, ""},
		"png of headers":   {twoHeaders, media.ErrDamaged, "several"},
		"png's late start": {lateHeader, media.ErrDamaged, "not first"},
		"webp of pictures": {riff(frame, tiny), media.ErrDamaged, "several"},
		"webp of headers":  {riff(extended(0, 63, 0), extended(0, 63, 0), frame), media.ErrDamaged, "several"},
		"webp of sizes":    {riff(extended(webpAlpha, 255, 255), frame), media.ErrDamaged, "contradict"},
		"webp animated": {[]byte("RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x3f\x00\x00\x2f\x00\x00"),
			media.ErrUnsupported, "animated"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "bad.jpg", tc.data)
			file, err := Read(path, media.Limits{})
			if err == nil {
				_, err = file.Decode(t.Context(), media.Tools{})
			}
			require.ErrorIs(t, err, tc.cause)
			assert.ErrorContains(t, err, "bad.jpg")
			assert.ErrorContains(t, err, tc.says)
		})
	}
}

// twoPages returns a TIFF of two directories. The second may be a smaller version of the first.
func twoPages(t testing.TB, img image.Image, smaller bool) []byte {
	t.Helper()
	file, err := encodeTIFF(img, &header{}, nil)
	require.NoError(t, err)
	at := int(binary.LittleEndian.Uint32(file[4:]))
	end := at + 2 + 12*int(binary.LittleEndian.Uint16(file[at:]))
	binary.LittleEndian.PutUint32(file[end:], uint32(len(file)))
	second := &ifd{}
	if smaller {
		second.long(tagSubfileType, 1)
	}
	second.long(tagWidth, 8)
	return second.append(file)
}

func tiffCMYK(img *image.CMYK) []byte {
	d := &ifd{}
	d.long(tagWidth, uint32(img.Rect.Dx()))
	d.long(tagHeight, uint32(img.Rect.Dy()))
	d.short(tagPhotometric, 5)
	return d.file()
}

// TestLeftOut checks that whatever else is in a file is left out, and that LeftOut describes it.
func TestLeftOut(t *testing.T) {
	photo := jpegOf(t, scene(64, 48), 85)
	film := append(bytes.Clone(photo), "\x00\x00\x00\x18ftypmp42"...)
	xmp := func(name, text string) []byte {
		return with(photo, segment(markerAPP1, []byte(name+"\x00"+text)))
	}
	tiffWith := func(id uint16) []byte {
		file := tiffOf(t, scene(64, 48))
		d := &ifd{}
		at := binary.LittleEndian.Uint32(file[4:])
		entries := file[at+2:][:12*int(binary.LittleEndian.Uint16(file[at:]))]
		for e := entries; len(e) > 0; e = e[12:] {
			d.entries = append(d.entries, entry{id: binary.LittleEndian.Uint16(e), kind: binary.LittleEndian.Uint16(e[2:]),
				count: binary.LittleEndian.Uint32(e[4:]), value: e[8:12]})
		}
		d.entries = append(d.entries, entry{id: id, kind: 4, count: 1, value: []byte{8, 0, 0, 0}})
		binary.LittleEndian.PutUint32(file[4:], uint32(len(file)))
		return d.append(file)
	}
	picture, web := pngOf(t, scene(64, 48)), webpOf(t, scene(64, 48), 80)
	zeros := make([]byte, 100)
	for name, data := range map[string][]byte{
		"jpeg": photo, "xmp": xmp(xmpHeader, "<x:xmpmeta>"), "jpeg padded": append(bytes.Clone(photo), zeros...),
		"png padded": append(bytes.Clone(picture), zeros...), "webp padded": append(bytes.Clone(web), zeros...),
		"tiff": tiffWith(0xfff0),
	} {
		assert.Empty(t, open(t, data).LeftOut, name)
	}
	for name, data := range map[string][]byte{
		"two views": append(bytes.Clone(photo), photo...), "film": film, "tiff": twoPages(t, scene(64, 48), true),
		"behind a jpeg": append(append(bytes.Clone(photo), zeros...), 'a'), "behind a png": append(bytes.Clone(picture), 'a'),
		"behind a webp": append(bytes.Clone(web), 'a'), "tiff with directories below": tiffWith(tagSubIFDs),
		"tiff with layers": tiffWith(tagLayers), "depth": xmp(xmpHeader, `<x:xmpmeta GDepth:Data="AAAA">`),
		"another view": xmp(xmpHeader, `<GImage:Data>AAAA`), "extended xmp": xmp(extendedXMPHeader, "0123"),
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, data)
			assert.Len(t, p.LeftOut, 1)
			out, _ := masked(t, data, Options{WebPQuality: 80})
			h, err := readHeader(out)
			require.NoError(t, err)
			assert.Empty(t, h.leftOut)
		})
	}
}

// TestVerification checks that an output that is not what was intended is noticed.
func TestVerification(t *testing.T) {
	for name, data := range map[string][]byte{
		"jpeg": jpegOf(t, scene(160, 120), 85), "png": pngOf(t, scene(160, 120)), "webp": webpOf(t, scene(160, 120), 80),
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, data)
			frames := p.Frames()
			maskPart(frames[0])
			p.canvas.paint(frames)
			source := write(t, "source", data) // as if the masks were lost
			err := p.verify(t.Context(), source, len(data))
			assert.ErrorIs(t, err, media.ErrVerification)
			other := write(t, "other", jpegOf(t, scene(80, 60), 85))
			assert.ErrorIs(t, p.verify(t.Context(), other, len(data)), media.ErrVerification)
			broken := write(t, "broken", data[:len(data)/2])
			assert.ErrorIs(t, p.verify(t.Context(), broken, len(data)), media.ErrVerification)
		})
	}
}

// TestWriteRefusesExistingFile checks that nothing is replaced.
func TestWriteRefusesExistingFile(t *testing.T) {
	p := open(t, pngOf(t, scene(20, 20)))
	path := write(t, "there", []byte("mine"))
	require.Error(t, p.Write(t.Context(), path, p.Frames(), Options{}))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "mine", string(text))
}

// TestReplacedFile checks that a file that was replaced after it was checked is not decoded.
func TestReplacedFile(t *testing.T) {
	path := write(t, "a", pngOf(t, scene(64, 48)))
	file, err := Read(path, media.Limits{})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, pngOf(t, scene(640, 480)), 0o600))
	_, err = file.Decode(t.Context(), media.Tools{})
	require.ErrorIs(t, err, media.ErrVanished)
	require.NoError(t, os.Remove(path))
	_, err = file.Decode(t.Context(), media.Tools{})
	require.ErrorIs(t, err, media.ErrVanished)
	_, err = Stat(path)
	require.ErrorIs(t, err, media.ErrVanished)
}

// TestLargeFile checks that a file larger than any picture within the limits is not read.
func TestLargeFile(t *testing.T) {
	path := write(t, "a", pngOf(t, scene(64, 48)))
	require.NoError(t, os.Truncate(path, 8<<30))
	_, err := Read(path, media.Limits{})
	require.ErrorIs(t, err, media.ErrLimit)
	size, err := Stat(path)
	require.NoError(t, err)
	assert.EqualValues(t, 8<<30, size)
}

// TestManyStarts checks that what looks like JPEGs after a picture takes no memory.
func TestManyStarts(t *testing.T) {
	data := append(jpegOf(t, scene(16, 16), 80), bytes.Repeat([]byte{0xff, markerSOI, 0xff}, 1<<20)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := readHeader(data)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, media.ErrNotPicture)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

func TestDecodeEndsWithContext(t *testing.T) {
	file, err := Read(write(t, "a", jpegOf(t, scene(64, 48), 85)), media.Limits{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = file.Decode(ctx, media.Tools{})
	assert.ErrorIs(t, err, context.Canceled)
}

// TestOpenCVReadsOutputs checks that another decoder sees the same.
func TestOpenCVReadsOutputs(t *testing.T) {
	img := scene(201, 131)
	for name, data := range map[string][]byte{
		"jpeg 411": ycbcr(t, 201, 131, image.YCbCrSubsampleRatio411), "jpeg": jpegOf(t, img, 85), "png": pngOf(t, img),
		"tiff": tiffOf(t, img), "webp": webpOf(t, img, 90),
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := masked(t, data, Options{WebPQuality: 90})
			mat, err := gocv.IMDecode(out, gocv.IMReadColor)
			require.NoError(t, err)
			defer mat.Close()
			require.Equal(t, []int{131, 201}, mat.Size())
			seen := image.NewNRGBA(img.Rect)
			for i, v := range mat.ToBytes() {
				seen.Pix[i/3*4+2-i%3], seen.Pix[i/3*4+3] = v, 255
			}
			assert.Greater(t, psnr(t, shown(t, out), seen, image.Rectangle{}), 28.0) // chroma is upsampled in a different way
		})
	}
}

func FuzzHeader(f *testing.F) {
	img := scene(16, 16)
	f.Add(jpegOf(f, img, 50))
	f.Add(with(jpegOf(f, img, 50), segment(markerAPP1, []byte(exifHeader), personalEXIF(f, 6))))
	f.Add(pngOf(f, img))
	f.Add(tiffOf(f, img))
	file, err := encodeTIFF(img, &header{profile: secretProfile()}, []tag{{tagArtist, "a"}})
	require.NoError(f, err)
	f.Add(file)
	webp, err := extendWebP(webpOf(f, img, 80), image.Pt(16, 16), false, &header{profile: secretProfile()},
		personalEXIF(f, 3))
	require.NoError(f, err)
	f.Add(webp)
	f.Add(heictest.Picture(f, img, image.Pt(16, 16), heictest.Coding{}, heictest.Crop(8, 8, 0, 0),
		heictest.Box("irot", []byte{1}), heictest.Box("colr", []byte("prof"), secretProfile())))
	f.Add(heicBombs()["extents"]) // the others are too large for many mutations
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := readHeader(data)
		if err != nil || h.width*h.height > 1<<16 || h.format == HEIC {
			return
		}
		canvas, err := decodeCanvas(t.Context(), data, &h)
		if err != nil {
			return
		}
		again, err := canvas.encode(&h, Options{WebPQuality: 80}, h.tags)
		if err != nil {
			return
		}
		if _, err := readHeader(again); err != nil {
			t.Errorf("an output has no header that can be read: %v", err)
		}
	})
}

func FuzzProfile(f *testing.F) {
	f.Add(secretProfile())
	f.Fuzz(func(t *testing.T, profile []byte) {
		again := rebuildProfile(profile)
		if again != nil && !bytes.Equal(again, rebuildProfile(again)) {
			t.Error("a rebuilt profile is not rebuilt to itself")
		}
	})
}
