// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// Verdict says what happened to a property of a source.
type Verdict string

const (
	// Same means that the output has it unchanged.
	Same Verdict = "same"
	// Expected means that it differs as it must, because of masks, the encoder's loss, another codec, or what follows from
	// these.
	Expected Verdict = "expected"
	// Dropped means that it is personal, and the output does not have it.
	Dropped Verdict = "dropped"
	// Kept means that it is personal, and the output still has it.
	Kept Verdict = "kept"
	// Differs means that it changed, and should not have.
	Differs Verdict = "differs"
)

// Comparison lists what is the same in an output and its source, and what is not.
type Comparison struct {
	Source string `json:"source"`
	Output string `json:"output"`
	Rows   []Row  `json:"rows"`
	Pixels Pixels `json:"pixels"`
}

// Row is one property of both files, as readable text. The property names in What are fixed, since users accept
// differences by name.
type Row struct {
	What    string  `json:"what"`
	Source  string  `json:"source"`
	Output  string  `json:"output"`
	Verdict Verdict `json:"verdict"`
}

// Changed returns the rows that are not as they should be, except those whose names are accepted.
func (c Comparison) Changed(accepted ...string) (rows []Row) {
	for _, r := range c.Rows {
		if (r.Verdict == Differs || r.Verdict == Kept) && !slices.Contains(accepted, r.What) {
			rows = append(rows, r)
		}
	}
	return rows
}

func (c *Comparison) add(what, source, output string, v Verdict) {
	c.Rows = append(c.Rows, Row{what, cmp.Or(source, "-"), cmp.Or(output, "-"), v})
}

// addEqual adds a property that should be the same.
func (c *Comparison) addEqual(what, source, output string) {
	c.add(what, source, output, sameOr(Differs, source == output))
}

// sameOr returns Same if the condition holds, else the other verdict.
func sameOr(other Verdict, same bool) Verdict {
	if same {
		return Same
	}
	return other
}

// Compare decodes a source and its output side by side. It fails like Probe and Reader.Next, except for ErrDamaged:
// damage is a row of the comparison, and what decodes is compared.
func (t Tools) Compare(ctx context.Context, source, output string) (Comparison, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	src, err := t.side(ctx, source)
	if err != nil {
		return Comparison{}, err
	}
	defer src.reader.Close()
	out, err := t.side(ctx, output)
	if err != nil {
		return Comparison{}, err
	}
	defer out.reader.Close()

	c := Comparison{Source: src.info.Path, Output: out.info.Path}
	pairs := pairing{src: src, out: out, pixels: newPixelComparison(src.info, out.info)}
	if err := pairs.run(); err != nil {
		return Comparison{}, err
	}
	c.compareFrames(&pairs)
	c.compareStreams(src.info, out.info)
	c.comparePixels(pairs.pixels)
	c.compareContents(src.contents, out.contents, out.info.Codec)
	return c, nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6f s", d.Seconds()) }

// compareStreams adds what the headers say about the video streams.
func (c *Comparison) compareStreams(src, out Info) {
	c.add("container", src.Container, out.Container, sameOr(Expected, src.Container == out.Container))
	c.add("codec", src.Codec, out.Codec, sameOr(Expected, src.Codec == out.Codec))
	c.addEqual("displayed size",
		fmt.Sprintf("%d x %d", src.Width, src.Height), fmt.Sprintf("%d x %d", out.Width, out.Height))
	c.addEqual("sample aspect ratio", aspectRatio(src.SAR), aspectRatio(out.SAR))
	if src.Rotation != 0 && out.Rotation == 0 {
		c.add("rotation", fmt.Sprintf("%d degrees, by a tag", src.Rotation), "already rotated, looks the same", Expected)
	} else {
		c.addEqual("rotation", fmt.Sprint(src.Rotation), fmt.Sprint(out.Rotation))
	}
	c.addEqual("field order", cmp.Or(src.FieldOrder, "progressive"), cmp.Or(out.FieldOrder, "progressive"))
	format := formatVerdict(src, out)
	c.add("pixel format", src.SourceFormat, out.SourceFormat, format)
	// An unstated range counts as limited and an unstated location as left, since some codecs must state them.
	c.addEqual("colour range", cmp.Or(src.ColorRange, "tv"), cmp.Or(out.ColorRange, "tv"))
	c.addEqual("colour primaries", src.ColorPrimaries, out.ColorPrimaries)
	c.addEqual("colour transfer", src.ColorTransfer, out.ColorTransfer)
	c.addEqual("colour matrix", src.ColorMatrix, out.ColorMatrix)
	srcChroma, outChroma := cmp.Or(src.ChromaLocation, "left"), cmp.Or(out.ChromaLocation, "left")
	if format == Same {
		c.addEqual("chroma location", srcChroma, outChroma)
	} else {
		c.add("chroma location", srcChroma, outChroma, sameOr(Expected, srcChroma == outChroma))
	}
}

// formatVerdict judges the pixel format of an output by what its codec could have kept, and by what PixelFormatAuto
// makes of it.
func formatVerdict(src, out Info) Verdict {
	// If the source cannot be written in this codec, the zero Plan keeps nothing.
	codec := codecForSource(out.Codec)
	plan, _ := NewPlan(src, WriteOptions{Container: "mkv", Codec: codec, PixelFormat: SameAsSource})
	common, _ := NewPlan(src, WriteOptions{Container: "mkv", Codec: defaultCodec})
	switch {
	case hasAlpha(src.SourceFormat) && !hasAlpha(out.SourceFormat):
		if plan.info.Format.Alpha {
			return Differs
		}
		return Expected
	case src.Format == out.Format:
		return Same
	case out.Format == plan.format, out.Format == common.format && common.codec.name == codec:
		return Expected
	}
	return Differs
}

// aspectRatio formats an aspect ratio, as that of square pixels if it is unknown.
func aspectRatio(r Rational) string {
	if r.Num == 0 || r.Num == r.Den {
		return "1:1"
	}
	return fmt.Sprintf("%d:%d", r.Num, r.Den)
}
