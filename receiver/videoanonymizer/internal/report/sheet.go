// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"slices"
	"time"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

const (
	sheetColumns = 4
	tileWidth    = 320
	tileHeight   = 240
	captionLines = 2
	lineHeight   = 16
	gap          = 6
	sheetQuality = 88
	// closeUp is the width of a tile's crop relative to the mask, so that viewers can tell whose head it covers. A crop is
	// at least leastPart of the width of the frame.
	closeUp   = 6
	leastPart = 0.25
)

var (
	background = color.RGBA{24, 24, 24, 255}
	lettering  = color.RGBA{235, 235, 235, 255}
	outline    = color.RGBA{255, 200, 0, 255}
)

// WriteSheet writes a new JPEG file at path with a tile for each of the first moments: the area around the mask, which
// is outlined, with the time, the reason, and score or duration. It takes missing pictures from the anonymized video at
// output, so that the sheet shows nothing that the output does not. For the other pictures, the caller of
// Recorder.Picture guarantees that. It returns ErrNothingToShow if there are no moments.
func WriteSheet(ctx context.Context, tools media.Tools, output, path string, moments []Moment, tiles int) error {
	moments = slices.Clone(moments[:min(tiles, len(moments))])
	if len(moments) == 0 {
		return ErrNothingToShow
	}
	if err := takeMissing(ctx, tools, output, moments); err != nil {
		return fmt.Errorf("contact sheet: %w", err)
	}
	file, err := durable.Create(path)
	if err != nil {
		return fmt.Errorf("contact sheet: %w", err)
	}
	sheet := drawSheet(moments)
	if err := errors.Join(jpeg.Encode(file, sheet, &jpeg.Options{Quality: sheetQuality}), file.Close()); err != nil {
		return fmt.Errorf("contact sheet: %w", err)
	}
	return nil
}

// takeMissing takes the missing pictures from a video.
func takeMissing(ctx context.Context, tools media.Tools, output string, moments []Moment) error {
	var missing []*Moment
	var times []time.Duration
	for i := range moments {
		if m := &moments[i]; m.picture == nil || m.picture.frame != m.Frame {
			missing, times = append(missing, m), append(times, time.Duration(m.Time*float64(time.Second)))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	info, err := tools.Probe(ctx, output, media.Limits{})
	if err != nil {
		return err
	}
	return tools.Stills(ctx, info, times, func(i int, frame *media.Frame) error {
		missing[i].picture = photograph(frame, *missing[i])
		return nil
	})
}

// drawSheet draws a sheet with the pictures of the moments.
func drawSheet(moments []Moment) *image.RGBA {
	columns := min(sheetColumns, len(moments))
	rows := (len(moments) + columns - 1) / columns
	height := tileHeight + captionLines*lineHeight + gap
	sheet := image.NewRGBA(image.Rect(0, 0, columns*(tileWidth+gap)+gap, rows*height+gap))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(background), image.Point{}, draw.Src)

	for i, m := range moments {
		at := image.Pt(gap+i%columns*(tileWidth+gap), gap+i/columns*height)
		tile(sheet, image.Rectangle{at, at.Add(image.Pt(tileWidth, tileHeight))}, m)
	}
	return sheet
}

// ErrNothingToShow means that a video has no weak moments.
var ErrNothingToShow = errors.New("the video has no moment to show")

// tile draws a moment on a part of the sheet, with its caption below.
func tile(sheet *image.RGBA, to image.Rectangle, m Moment) {
	m.picture.develop()
	part := m.picture.part
	caption := to
	to = fit(part, to)
	draw.Draw(sheet, to, m.picture.image, image.Point{}, draw.Src)

	x := func(v int) int { return to.Min.X + (v-part.Min.X)*to.Dx()/part.Dx() }
	y := func(v int) int { return to.Min.Y + (v-part.Min.Y)*to.Dy()/part.Dy() }
	if m.Reason != NobodyFound {
		border(sheet, to, image.Rect(x(m.Box[0])-2, y(m.Box[1])-2, x(m.Box[2])+2, y(m.Box[3])+2))
	}

	text := m.Reason
	switch m.Reason {
	case LowScore:
		text += fmt.Sprintf(" %.2f", m.Score)
	case NobodyFound:
	default:
		text += fmt.Sprintf(" %.2f s, score %.2f", m.Duration, m.Score)
	}
	write(sheet, caption.Min.X, caption.Max.Y+lineHeight-4, fmt.Sprintf("%s  frame %d", m.At, m.Frame))
	write(sheet, caption.Min.X, caption.Max.Y+2*lineHeight-4, text)
}

// around returns the part of the frame to show for a moment, with the aspect ratio of a tile if possible.
func around(m Moment, width, height int) image.Rectangle {
	if m.Reason == MaskedWhole || m.Reason == NobodyFound {
		return image.Rect(0, 0, width, height)
	}
	size := float64(max(m.Box[2]-m.Box[0], m.Box[3]-m.Box[1]))
	w := math.Max(closeUp*size, leastPart*float64(width))
	w = math.Min(w, math.Min(float64(width), float64(height)*tileWidth/tileHeight))
	h := w * tileHeight / tileWidth
	place := func(center, size, most float64) int { return int(math.Max(0, math.Min(most-size, center-size/2))) }
	x := place(float64(m.Box[0]+m.Box[2])/2, w, float64(width))
	y := place(float64(m.Box[1]+m.Box[3])/2, h, float64(height))
	return image.Rect(x, y, x+max(1, int(w)), y+max(1, int(h)))
}

// fit returns the largest rectangle with the aspect ratio of part, centered in within.
func fit(part, within image.Rectangle) image.Rectangle {
	scale := math.Min(float64(within.Dx())/float64(part.Dx()), float64(within.Dy())/float64(part.Dy()))
	size := image.Pt(max(1, int(scale*float64(part.Dx())+0.5)), max(1, int(scale*float64(part.Dy())+0.5)))
	at := within.Min.Add(within.Size().Sub(size).Div(2))
	return image.Rectangle{at, at.Add(size)}
}

// border draws the edges of a rectangle, clipped to area.
func border(sheet *image.RGBA, area, r image.Rectangle) {
	for _, edge := range []image.Rectangle{
		{r.Min, image.Pt(r.Max.X, r.Min.Y+1)}, {image.Pt(r.Min.X, r.Max.Y-1), r.Max},
		{r.Min, image.Pt(r.Min.X+1, r.Max.Y)}, {image.Pt(r.Max.X-1, r.Min.Y), r.Max},
	} {
		draw.Draw(sheet, edge.Intersect(area), image.NewUniform(outline), image.Point{}, draw.Src)
	}
}

func write(sheet *image.RGBA, x, y int, text string) {
	(&font.Drawer{Dst: sheet, Src: image.NewUniform(lettering), Face: basicfont.Face7x13,
		Dot: fixed.P(x, y)}).DrawString(text)
}

// crop returns a part of a frame in RGB.
func crop(v view, part image.Rectangle) *image.RGBA {
	out := image.NewRGBA(part)
	format, deep := v.Format, v.Format.BytesPerSample() == 2
	c := conversionOf(v)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		pixels := out.Pix[out.PixOffset(part.Min.X, y):]
		luma := rowOf(&v.Planes[0], y-v.origin.Y, deep)
		var blue, red row
		if format.Planes == 3 {
			chroma := (y - v.origin.Y) >> format.ChromaShiftY
			blue, red = rowOf(&v.Planes[1], chroma, deep), rowOf(&v.Planes[2], chroma, deep)
		}
		for x := range part.Dx() {
			at := part.Min.X - v.origin.X + x
			l, u, w := c.luma[luma.sample(at)], 0.0, 0.0
			if format.Planes == 3 {
				u, w = c.chroma[blue.sample(at>>format.ChromaShiftX)], c.chroma[red.sample(at>>format.ChromaShiftX)]
			}
			r, b := l+c.red*w, l+c.blue*u
			pixel := pixels[4*x:][:4]
			pixel[0], pixel[1], pixel[2], pixel[3] = clamp(r), clamp((l-c.kr*r-c.kb*b)*c.green), clamp(b), 255
		}
	}
	return out
}

// conversion converts samples to RGB. Its tables map each sample to a scale from 0 to 255 for luma, and from -128 to
// 127 for chroma.
type conversion struct {
	luma, chroma     []float64
	kr, kb           float64 // weights of red and blue in luma
	red, blue, green float64 // factors of chroma, and of the rest of luma for green
}

func conversionOf(v view) conversion {
	lift, scale, spread := 16.0, 255.0/219, 255.0/224
	if v.FullRange {
		lift, scale, spread = 0, 1, 1
	}
	kr, kb := weights(v.wholeHeight)
	if v.BT601 {
		kr, kb = weights(0)
	}
	levels := 1 << (8 * v.Format.BytesPerSample())
	c := conversion{luma: make([]float64, levels), chroma: make([]float64, levels), kr: kr, kb: kb,
		red: 2 * (1 - kr), blue: 2 * (1 - kb), green: 1 / (1 - kr - kb)}
	unit := float64(int(1) << (v.Format.Depth - 8))
	for i := range levels {
		c.luma[i] = (float64(i)/unit - lift) * scale
		c.chroma[i] = (float64(i)/unit - 128) * spread
	}
	return c
}

// row is a row of a plane.
type row struct {
	data []byte
	deep bool // two bytes per sample
}

func rowOf(p *media.Plane, y int, deep bool) row {
	width := p.Width
	if deep {
		width *= 2
	}
	return row{p.Data[y*width:][:width], deep}
}

func (r row) sample(x int) int {
	if r.deep {
		return int(r.data[2*x]) | int(r.data[2*x+1])<<8
	}
	return int(r.data[x])
}

// weights returns the weights of red and blue in luma: those of ITU-R BT.601 up to 576 lines and of BT.709 above, as
// when masks are painted.
func weights(height int) (kr, kb float64) {
	if height > 576 {
		return 0.2126, 0.0722
	}
	return 0.299, 0.114
}

func clamp(v float64) uint8 { return uint8(max(0, min(255, v)) + 0.5) }

// Picture returns a frame in RGB.
func Picture(frame *media.Frame) *image.RGBA {
	return crop(viewOf(frame), image.Rect(0, 0, frame.Width, frame.Height))
}
