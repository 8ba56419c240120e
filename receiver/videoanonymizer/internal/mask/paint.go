// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"fmt"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// RGB is a color, with components 0..255.
type RGB struct{ R, G, B uint8 }

// Options say how masks look; the zero value gives solid black ellipses of the head's size.
type Options struct {
	// Shape defaults to Ellipse.
	Shape Shape
	// Fill defaults to Solid.
	Fill Fill
	// Color is the color of solid masks, and of frames masked whole.
	Color RGB
	// Scale multiplies the size of every mask: 0.5 to 10, 0 means 1.
	Scale float64
	// MaxSize bounds a mask's width and height, as a fraction 0..1 of the frame's shorter side; larger masks shrink around
	// the center of the head. 0 means no bound. Regions and whole frames are not bounded.
	MaxSize float64
	// Regions are the parts of the frame that are always or never masked.
	Regions []Region
}

// Masks are what to cover in a frame, in addition to the regions of Options.
type Masks struct {
	// At is the time since the first frame, which determines which regions apply.
	At     time.Duration
	Heads  []Head
	Bodies []Body
	// Before and After are the masks of the adjacent frames, or nil: what both cover is covered here, too, so that no mask
	// blinks. Their own Before, After and At are ignored.
	Before, After *Masks
}

// Painter covers heads in frames. It is safe for concurrent use on different frames.
type Painter struct{ opts Options }

// NewPainter returns a painter. It trusts its options, which the configuration validates.
func NewPainter(opts Options) *Painter {
	if opts.Shape == "" {
		opts.Shape = Ellipse
	}
	if opts.Fill == "" {
		opts.Fill = Solid
	}
	if opts.Scale == 0 {
		opts.Scale = 1
	}
	return &Painter{opts: opts}
}

// Paint covers the masks and the regions on the frame's planes, in place; samples outside them keep their values. A
// sample, even on a subsampled plane, is covered if any part of its area lies in a mask, and kept if all of it lies in
// a region to keep. Parts of a mask outside the frame are ignored. If a head or body is not sane, or has OriginFrame,
// the whole frame is covered. After an error the frame may be unmasked or partly masked, and must not be shown.
func (p *Painter) Paint(frame *media.Frame, masks Masks) error {
	if err := checkFrame(frame); err != nil {
		return err
	}
	regions, whole := p.maskedRegions(frame, masks.At)
	if whole {
		return p.PaintWhole(frame)
	}
	contours, sane := p.masked(frame, masks)
	if !sane {
		return p.PaintWhole(frame)
	}
	saved := p.saveKeptRegions(frame, masks.At)
	if err := p.paint(frame, contours); err != nil {
		return err
	}
	restore(frame, saved)
	return p.paint(frame, regions)
}

// masked returns the contours of the masks, and of what the masks of the adjacent frames have in common. sane is false
// if one of the masks may be anywhere.
func (p *Painter) masked(frame *media.Frame, masks Masks) (contours []contour, sane bool) {
	contours, sane = p.contours(frame, masks)
	if sane && masks.Before != nil && masks.After != nil {
		before, sane := p.contours(frame, *masks.Before)
		after, alsoSane := p.contours(frame, *masks.After)
		if sane && alsoSane {
			contours = append(contours, intersection{before, after})
		}
	}
	return contours, sane
}

// contours returns the contours of all heads and bodies; sane is false if one of these may be anywhere.
func (p *Painter) contours(frame *media.Frame, masks Masks) (contours []contour, sane bool) {
	contours = make([]contour, 0, len(masks.Heads)+len(masks.Bodies)+1)
	for _, h := range masks.Heads {
		if !h.Sane() || h.Origin == OriginFrame {
			return nil, false
		}
		contours = append(contours, p.outline(h, frame))
	}
	for _, b := range masks.Bodies {
		if !b.sane() {
			return nil, false
		}
		contours = append(contours, b)
	}
	return contours, true
}

// paint covers the contours with the painter's fill.
func (p *Painter) paint(frame *media.Frame, contours []contour) error {
	if p.opts.Fill == Solid {
		p.paintSolid(frame, contours)
		return nil
	}
	for _, o := range contours {
		if err := p.paintCoarse(frame, o); err != nil {
			return err
		}
	}
	return nil
}

// PaintWhole covers the whole frame in the color, regardless of the fill and the regions. It returns an error if the
// frame does not match its format.
func (p *Painter) PaintWhole(frame *media.Frame) error {
	if err := checkFrame(frame); err != nil {
		return err
	}
	for i, sample := range p.samples(frame) {
		fill(frame.Planes[i].Data, sample)
	}
	return nil
}

// checkFrame returns an error if the frame's planes do not match its format.
func checkFrame(frame *media.Frame) error {
	f := frame.Format
	if f.Depth < 8 || f.Depth > 16 || f.Planes != 1 && f.Planes != 3 || f.Alpha && f.Planes != 3 ||
		f.ChromaShiftX < 0 || f.ChromaShiftX > 2 || f.ChromaShiftY < 0 || f.ChromaShiftY > 2 {
		return fmt.Errorf("frame %d: pixel format %q cannot be masked: %d planes of %d bits",
			frame.Index, f.Name, f.Planes, f.Depth)
	}
	for i := range f.AllPlanes() {
		p := frame.Planes[i]
		w, h, _, _ := planeSize(frame, i)
		wantW, wantH := frame.Width, frame.Height
		if f.IsChroma(i) {
			wantW, wantH = ceilShift(wantW, f.ChromaShiftX), ceilShift(wantH, f.ChromaShiftY)
		}
		if w <= 0 || h <= 0 || w != wantW || h != wantH || len(p.Data) != w*h*f.BytesPerSample() {
			return fmt.Errorf("frame %d: plane %d is %dx%d in %d bytes, which does not fit a %dx%d frame of %s",
				frame.Index, i, w, h, len(p.Data), frame.Width, frame.Height, f.Name)
		}
	}
	return nil
}

func ceilShift(n, shift int) int { return (n + 1<<shift - 1) >> shift }
