// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// Verdict says what became of one property of a source.
type Verdict string

const (
	// Same: it is in the output as it was.
	Same Verdict = "same"
	// Expected: it differs as it must: masks, the encoder's loss, another codec, and what follows from these.
	Expected Verdict = "expected"
	// Dropped: it is personal, and no longer there.
	Dropped Verdict = "dropped"
	// Kept: it is personal, and still there.
	Kept Verdict = "kept"
	// Differs: it changed, and should not have.
	Differs Verdict = "differs"
)

// Comparison says what is the same in an output as in its source, and what is not.
type Comparison struct {
	Source string `json:"source"`
	Output string `json:"output"`
	Rows   []Row  `json:"rows"`
	Pixels Pixels `json:"pixels"`
}

// Row is one property of both files, as texts for people.
type Row struct {
	What    string  `json:"what"`
	Source  string  `json:"source"`
	Output  string  `json:"output"`
	Verdict Verdict `json:"verdict"`
}

// Changed lists the rows that should not be as they are, but for those named in accepted.
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

// tell adds a row of a property that is to be the same.
func (c *Comparison) tell(what, source, output string) {
	c.add(what, source, output, sameOr(Differs, source == output))
}

// sameOr is Same if the condition holds, else the other verdict.
func sameOr(other Verdict, same bool) Verdict {
	if same {
		return Same
	}
	return other
}

// Compare decodes a source and its output side by side. It fails with what Probe and Reader.Next fail with; but damage is told in
// a row of its own, and what decodes is compared.
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
	c.compareExtras(src.extras, out.extras, out.info.Codec)
	return c, nil
}

// side is one of the two files.
type side struct {
	info   Info
	extras extras
	reader *Reader

	frames      int
	first, last time.Duration // of the frames
}

func (t Tools) side(ctx context.Context, path string) (*side, error) {
	info, err := t.Probe(ctx, path, Limits{})
	if err != nil {
		return nil, err
	}
	s := &side{info: info}
	if s.extras, err = t.extras(ctx, info); err != nil {
		return nil, err
	}
	s.reader, err = t.Open(ctx, info, ReadOptions{Salvage: true})
	return s, err
}

// next returns nil after the last frame, and what was decoded before a damage after which nothing could be.
func (s *side) next() (*Frame, error) {
	f, err := s.reader.Next()
	switch {
	case err == io.EOF, errors.Is(err, ErrDamaged):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if s.frames == 0 {
		s.first = f.Time
	}
	s.frames, s.last = s.frames+1, f.Time
	return f, nil
}

// length is how long the frames last: as the file says of its video stream, else as counted from the frames. A stated length that ends
// before the last frame is none: the MOV family counts by the decoding clock.
func (s *side) length() time.Duration {
	stated := s.info.Duration
	if strings.HasPrefix(s.info.Container, "matroska") { // there a length counts from zero
		stated -= s.first
	}
	if !s.info.ownDuration || stated < s.last-s.first || s.reader.Damage() != nil {
		return s.last - s.first + timeOf(framePeriod(s.info), s.info.TimeBase)
	}
	return stated
}

// rate is the mean number of frames a second.
func (s *side) rate() float64 {
	if s.frames < 2 || s.last <= s.first {
		return s.info.FrameRate.Float()
	}
	return float64(s.frames-1) / (s.last - s.first).Seconds()
}

// timeRounding is by how much times may differ in files whose units of time differ.
const timeRounding = time.Millisecond

// pairing walks through both files, and pairs the frames that are shown at the same time. Where a frame has no partner, it is
// left out, so that a dropped frame does not make all that follow look changed.
type pairing struct {
	src, out *side
	pixels   *pixelComparison

	shift     time.Duration // of the output's first frame against the source's
	deviation time.Duration // the largest from the shift
	first     string        // the first difference of times
	missing   int           // frames of the source without a partner
	extra     int           // frames of the output without one
}

func (p *pairing) run() error {
	var a, b *Frame
	defer func() {
		for _, f := range []*Frame{a, b} {
			if f != nil {
				f.Release()
			}
		}
	}()
	// advance lets go of a frame and gets the next of its file.
	advance := func(s *side, f **Frame) (err error) {
		if *f != nil {
			(*f).Release()
		}
		*f, err = s.next()
		return err
	}
	if err := errors.Join(advance(p.src, &a), advance(p.out, &b)); err != nil {
		return err
	}
	if a != nil && b != nil {
		p.shift = b.Time - a.Time
	}
	before := time.Duration(math.MinInt64 / 2) // the time of the source's frame before
	for a != nil || b != nil {
		var off time.Duration
		if a != nil && b != nil {
			off = b.Time - a.Time - p.shift
		}
		// Further away than this, the next frame of the other file is nearer.
		reach := timeOf(max(1, framePeriod(p.src.info)), p.src.info.TimeBase) / 2
		if a != nil {
			reach = min(reach, (a.Time-before)/2)
		}
		reach = max(reach, timeRounding)
		var errs [2]error
		switch {
		case b == nil || a != nil && off > reach:
			p.differ("frame %d, shown at %s, is missing", a.Index, seconds(a.Time))
			p.missing++
			before = a.Time
			errs[0] = advance(p.src, &a)
		case a == nil || off < -reach:
			p.differ("frame %d, shown at %s, is not in the source", b.Index, seconds(b.Time))
			p.extra++
			errs[1] = advance(p.out, &b)
		default:
			if off.Abs() > p.tolerance() {
				p.differ("frame %d is shown at %s instead of %s", a.Index, seconds(b.Time-p.shift), seconds(a.Time))
			}
			p.deviation = max(p.deviation, off.Abs())
			p.pixels.add(a, b)
			before = a.Time
			errs[0], errs[1] = advance(p.src, &a), advance(p.out, &b)
		}
		if err := errors.Join(errs[:]...); err != nil {
			return err
		}
	}
	return nil
}

func (p *pairing) tolerance() time.Duration {
	if p.src.info.TimeBase == p.out.info.TimeBase {
		return 0
	}
	return timeRounding
}

// differ notes the first difference.
func (p *pairing) differ(format string, args ...any) {
	if p.first == "" {
		p.first = fmt.Sprintf(format, args...)
	}
}

// mustShift tells that a writer cannot do otherwise: AVI begins at zero, other containers hide what is shown before zero, and MPEG-TS
// may begin a little later.
func (p *pairing) mustShift() bool {
	container, _ := findContainer(ContainerFor(p.out.info.Path))
	return p.out.first.Abs() <= timeRounding && (p.src.first < 0 || container.fromZero) ||
		container.late && p.shift > 0 && p.shift <= maxLate
}

// compareFrames tells of the number of the frames and of their times.
func (c *Comparison) compareFrames(p *pairing) {
	src, out := p.src, p.out
	damage := func(r *Reader) string {
		if r.Damage() == nil {
			return "none"
		}
		return tidy(r.faults.text())
	}
	v := Same
	switch {
	case out.reader.Damage() != nil:
		v = Differs
	case src.reader.Damage() != nil:
		v = Expected
	}
	c.add("damage", damage(src.reader), damage(out.reader), v)
	c.tell("frames", fmt.Sprint(src.frames), fmt.Sprint(out.frames))

	times := fmt.Sprintf("%s to %s", seconds(src.first), seconds(src.last))
	switch {
	case p.first != "":
		text := "first difference: " + p.first
		if p.missing+p.extra > 1 {
			text += fmt.Sprintf("; %d missing, %d added in all", p.missing, p.extra)
		}
		c.add("times of frames", times, text, Differs)
	case p.shift.Abs() > p.tolerance():
		v := Differs
		if p.mustShift() {
			v = Expected
		}
		c.add("times of frames", times, fmt.Sprintf("all shifted by %+.6f s", p.shift.Seconds()), v)
	case p.deviation > 0:
		c.add("times of frames", times, fmt.Sprintf("same but for rounding, at most %s", seconds(p.deviation)), Same)
	default:
		c.add("times of frames", times, "each the same", Same)
	}

	period := timeOf(max(1, framePeriod(src.info)), src.info.TimeBase)
	c.add("duration", seconds(src.length()), seconds(out.length()), sameOr(Differs, (src.length()-out.length()).Abs() <= max(period, timeRounding)))
	c.add("mean frame rate", fmt.Sprintf("%.3f", src.rate()), fmt.Sprintf("%.3f", out.rate()),
		sameOr(Differs, math.Abs(src.rate()-out.rate()) <= src.rate()/1000))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6f s", d.Seconds()) }

// compareStreams tells of what the headers say of the picture.
func (c *Comparison) compareStreams(src, out Info) {
	c.add("container", src.Container, out.Container, sameOr(Expected, src.Container == out.Container))
	c.add("codec", src.Codec, out.Codec, sameOr(Expected, src.Codec == out.Codec))
	c.tell("displayed size", fmt.Sprintf("%d x %d", src.Width, src.Height), fmt.Sprintf("%d x %d", out.Width, out.Height))
	c.tell("sample aspect ratio", square(src.SAR), square(out.SAR))
	switch {
	case src.Rotation != 0 && out.Rotation == 0:
		c.add("rotation", fmt.Sprintf("%d degrees, by a tag", src.Rotation), "turned already, shown alike", Expected)
	default:
		c.tell("rotation", fmt.Sprint(src.Rotation), fmt.Sprint(out.Rotation))
	}
	c.tell("field order", cmp.Or(src.FieldOrder, "progressive"), cmp.Or(out.FieldOrder, "progressive"))
	format, plan := Differs, planOf(src, out)
	switch {
	case hasAlpha(src.SourceFormat) && !hasAlpha(out.SourceFormat):
		if !plan.info.Format.Alpha { // the output's codec does not carry it
			format = Expected
		}
	case src.Format == out.Format:
		format = Same
	case out.Format == plan.format:
		format = Expected
	}
	c.add("pixel format", src.SourceFormat, out.SourceFormat, format)
	// What is not stated is taken for limited, and for left; some codecs cannot but state it.
	c.tell("colour range", cmp.Or(src.ColorRange, "tv"), cmp.Or(out.ColorRange, "tv"))
	c.tell("colour primaries", src.ColorPrimaries, out.ColorPrimaries)
	c.tell("colour transfer", src.ColorTransfer, out.ColorTransfer)
	c.tell("colour matrix", src.ColorMatrix, out.ColorMatrix)
	srcChroma, outChroma := cmp.Or(src.ChromaLocation, "left"), cmp.Or(out.ChromaLocation, "left")
	switch {
	case format == Same:
		c.tell("chroma location", srcChroma, outChroma)
	default:
		c.add("chroma location", srcChroma, outChroma, sameOr(Expected, srcChroma == outChroma))
	}
}

// square writes an aspect ratio, where none is stated that of square pixels.
func square(r Rational) string {
	if r.Num == 0 || r.Num == r.Den {
		return "1:1"
	}
	return fmt.Sprintf("%d:%d", r.Num, r.Den)
}

// planOf is how a source would be written in the codec of an output, the zero Plan if it cannot be.
func planOf(src, out Info) Plan {
	plan, _ := NewPlan(src, WriteOptions{Container: "mkv", Codec: codecForSource(out.Codec)})
	return plan
}
