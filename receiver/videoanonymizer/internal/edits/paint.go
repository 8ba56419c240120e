// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package edits

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// Painter paints masks as the pipeline does, except for drawn masks, which it paints exactly as they were drawn.
type Painter struct{ made, drawn *mask.Painter }

// NewPainter returns a painter whose masks look like those of an output.
func NewPainter(s *report.Settings) (*Painter, error) {
	color, err := rgb(s.Color)
	if err != nil {
		return nil, err
	}
	made := mask.Options{Shape: mask.Shape(s.Shape), Fill: mask.Fill(s.Fill), Color: color, Scale: s.Scale,
		MaxSize: s.MaxSize}
	for _, r := range s.Regions {
		made.Regions = append(made.Regions, mask.Region{Polygon: r.Polygon, Action: mask.Action(r.Action),
			From: inDuration(r.From), To: inDuration(r.To)})
	}
	drawn := mask.Options{Fill: made.Fill, Color: color}
	return &Painter{mask.NewPainter(made), mask.NewPainter(drawn)}, nil
}

func inDuration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// rgb parses "#rrggbb". Older reports have no color, which means black.
func rgb(text string) (c mask.RGB, err error) {
	if text == "" {
		return c, nil
	}
	b, err := hex.DecodeString(strings.TrimPrefix(text, "#"))
	if err != nil || len(b) != 3 {
		return c, fmt.Errorf("mask_color: %q is not a color", text)
	}
	return mask.RGB{R: b[0], G: b[1], B: b[2]}, nil
}

// Around is the masks of a frame and of the adjacent frames, which are nil at the ends of the video. At is the time
// since the first frame.
type Around struct {
	At            time.Duration
	Masks         Masks
	Before, After *Masks
}

// made returns the masks for the pipeline's painter. As in the tracker, what the frames before and after both cover is
// covered as well, if one of them has silhouettes.
func (a *Around) made() mask.Masks {
	m := mask.Masks{At: a.At, Heads: a.Masks.Heads, Bodies: a.Masks.Bodies}
	if b, c := a.Before, a.After; b != nil && c != nil && !b.Whole && !c.Whole && len(b.Bodies)+len(c.Bodies) > 0 {
		m.Before = &mask.Masks{Heads: b.Heads, Bodies: b.Bodies}
		m.After = &mask.Masks{Heads: c.Heads, Bodies: c.Bodies}
	}
	return m
}

// Paint paints a frame. After an error it may be unmasked.
func (p *Painter) Paint(frame *media.Frame, a *Around) error {
	if a.Masks.Whole {
		return p.made.PaintWhole(frame)
	}
	if err := p.made.Paint(frame, a.made()); err != nil {
		return err
	}
	return p.drawn.Paint(frame, mask.Masks{Heads: a.Masks.Added})
}

// Cover returns the pixels that Paint covers in a frame of the given size.
func (p *Painter) Cover(width, height int, a *Around) *mask.Coverage {
	if a.Masks.Whole {
		c := mask.NewCoverage(width, height)
		c.Fill()
		return c
	}
	c := p.made.Cover(width, height, a.made())
	c.Add(p.drawn.Cover(width, height, mask.Masks{Heads: a.Masks.Added}))
	return c
}
