// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"time"

	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// Colors in a preview: of detections, and of the outlines of masks by origin.
var (
	personColor    = color.RGBA{0, 200, 0, 255}
	candidateColor = color.RGBA{150, 150, 150, 255}
	faceColor      = color.RGBA{0, 220, 220, 255}
	keypointColor  = color.RGBA{255, 230, 0, 255}
	weakColor      = color.RGBA{230, 60, 40, 255}
	originColors   = map[mask.Origin]color.RGBA{
		mask.OriginPose: {255, 255, 255, 255}, mask.OriginFace: faceColor, mask.OriginBox: {255, 140, 0, 255},
		mask.OriginInterpolated: {80, 140, 255, 255}, mask.OriginHeld: {255, 80, 255, 255}, mask.OriginFrame: weakColor,
		mask.OriginScreen: {160, 255, 90, 255},
	}
)

// Draw draws the record of a frame on the anonymized frame: people and faces, people with their scores, keypoints
// (those below the threshold in red), the outline of each mask with its score and origin, and the time since the first
// frame. The frame must be one that Painter.Paint accepts.
func Draw(frame *media.Frame, rec *record.Frame, at time.Duration, keypointThreshold float32) {
	c := newCanvas(frame)
	for _, p := range rec.Found {
		ink := personColor
		if p.Candidate {
			ink = candidateColor
		}
		c.box(p.Box, ink)
		c.text(int(p.Box.X0)+3*c.stroke, int(p.Box.Y1)-3*c.stroke, fmt.Sprintf("%.2f", p.Score), ink)
		if p.Pose == nil {
			continue
		}
		for _, k := range p.Pose {
			ink := keypointColor
			if !(k.Score >= keypointThreshold) {
				ink = weakColor
			}
			c.dot(float64(k.X), float64(k.Y), 2*c.stroke, ink)
		}
	}
	for _, f := range rec.Faces {
		c.box(f.Box, faceColor)
	}
	for _, h := range rec.Heads {
		ink := originColors[h.Origin]
		c.outline(h, ink)
		b := h.Bounds()
		c.text(int(b.X0), int(b.Y0)-2*c.stroke, fmt.Sprintf("%s %.2f", h.Origin, h.Score), ink)
	}
	state := "carried"
	switch {
	case rec.Reason != "":
		state = rec.Reason
	case rec.Analyzed:
		state = "judged"
	}
	c.text(4*c.stroke, c.lineHeight(), fmt.Sprintf("PREVIEW %s frame %d %s", Timecode(seconds(at)), rec.Index, state),
		lettering)
}

// canvas draws on the planes of a frame.
type canvas struct {
	frame  *media.Frame
	stroke int // in pixels
}

func newCanvas(frame *media.Frame) canvas {
	return canvas{frame, max(1, frame.Height/540)}
}

// lineHeight returns the height of a line of text in pixels.
func (c canvas) lineHeight() int { return basicfont.Face7x13.Height * c.stroke }

func (c canvas) box(b vision.Box, ink color.RGBA) {
	r := c.clip(b)
	for i := range c.stroke {
		for x := r.Min.X; x < r.Max.X; x++ {
			c.set(x, r.Min.Y+i, ink)
			c.set(x, r.Max.Y-1-i, ink)
		}
		for y := r.Min.Y; y < r.Max.Y; y++ {
			c.set(r.Min.X+i, y, ink)
			c.set(r.Max.X-1-i, y, ink)
		}
	}
}

// clip converts a box to pixels. It limits coordinates to just outside the frame, so that edges outside the frame
// remain invisible.
func (c canvas) clip(b vision.Box) image.Rectangle {
	limit := func(v float32, most int) int {
		if !(v > -8) { // also NaN
			return -8
		}
		return int(min(v, float32(most+8)))
	}
	return image.Rect(limit(b.X0, c.frame.Width), limit(b.Y0, c.frame.Height), limit(b.X1, c.frame.Width),
		limit(b.Y1, c.frame.Height))
}

// outline draws the outline of a head.
func (c canvas) outline(h mask.Head, ink color.RGBA) {
	if h.Box || h.Origin == mask.OriginFrame || !h.Sane() {
		c.box(h.Bounds(), ink)
		return
	}
	sin, cos := math.Sincos(float64(h.Angle))
	steps := min(4096, 16+int(7*max(h.RX, h.RY)))
	for i := range steps {
		v, u := math.Sincos(2 * math.Pi * float64(i) / float64(steps))
		u, v = u*float64(h.RX), v*float64(h.RY)
		c.dot(float64(h.X)+u*cos-v*sin, float64(h.Y)+u*sin+v*cos, c.stroke, ink)
	}
}

// dot draws a square centered on a point.
func (c canvas) dot(x, y float64, size int, ink color.RGBA) {
	if !(math.Abs(x) < 1e6 && math.Abs(y) < 1e6) {
		return
	}
	left, top := int(math.Floor(x))-size/2, int(math.Floor(y))-size/2
	for j := range size {
		for i := range size {
			c.set(left+i, top+j, ink)
		}
	}
}

// text writes text on black with its baseline at y. The stroke scales the letters. Text that would leave the frame is
// moved.
func (c canvas) text(x, y int, s string, ink color.RGBA) {
	face := basicfont.Face7x13
	x = max(0, min(x, c.frame.Width-face.Advance*c.stroke*len(s)))
	y = max(face.Ascent*c.stroke, min(y, c.frame.Height-face.Descent*c.stroke))
	for n, letter := range s {
		bounds, glyph, at, _, ok := face.Glyph(fixed.P(0, 0), letter)
		if !ok {
			continue
		}
		for j := range face.Height {
			for i := range face.Advance {
				dot := color.RGBA{A: 255}
				place := image.Pt(i, j-face.Ascent)
				if place.In(bounds) {
					if _, _, _, alpha := glyph.At(at.X+place.X-bounds.Min.X, at.Y+place.Y-bounds.Min.Y).RGBA(); alpha > 0 {
						dot = ink
					}
				}
				for v := range c.stroke {
					for u := range c.stroke {
						c.set(x+(n*face.Advance+i)*c.stroke+u, y+place.Y*c.stroke+v, dot)
					}
				}
			}
		}
	}
}

// set colors a pixel. It ignores pixels outside the frame.
func (c canvas) set(x, y int, ink color.RGBA) {
	f := c.frame
	if x < 0 || y < 0 || x >= f.Width || y >= f.Height {
		return
	}
	kr, kb := weights(f.Height)
	r, g, b := float64(ink.R), float64(ink.G), float64(ink.B)
	luma := kr*r + (1-kr-kb)*g + kb*b
	u, v := (b-luma)/(2*(1-kb)), (r-luma)/(2*(1-kr))
	if !f.FullRange {
		luma, u, v = 16+luma*219/255, u*224/255, v*224/255
	}
	c.put(0, x, y, luma)
	if f.Format.Alpha {
		c.put(f.Format.Planes, x, y, 255)
	}
	if f.Format.Planes == 3 {
		x, y = x>>f.Format.ChromaShiftX, y>>f.Format.ChromaShiftY
		c.put(1, x, y, 128+u)
		c.put(2, x, y, 128+v)
	}
}

// put writes a sample, which is given with 8 bits.
func (c canvas) put(plane, x, y int, value float64) {
	p := &c.frame.Planes[plane]
	at := y*p.Width + x
	if c.frame.Format.BytesPerSample() == 1 {
		p.Data[at] = clamp(value)
		return
	}
	deep := uint16(clamp(value)) << (c.frame.Format.Depth - 8)
	p.Data[2*at], p.Data[2*at+1] = byte(deep), byte(deep>>8)
}
