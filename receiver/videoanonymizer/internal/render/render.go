// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package render makes a revision of an output with corrections. In the segments that the edits change, it paints the
// masks of the report and the edits, without running any model. It copies all other segments from the latest revision.
//
//	result, err := render.Run(ctx, render.Options{...})
package render

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/edits"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

var (
	// ErrNothing means that the edits change nothing in the latest revision.
	ErrNothing = errors.New("the corrections change nothing")
	// ErrSource means that the source is needed: without it, nothing can be uncovered, and with an old report, nothing can
	// be adjusted.
	ErrSource = errors.New("this needs the source")
	// ErrInvalid means that operations make no sense for this video, or uncover something without a reason.
	ErrInvalid = errors.New("the corrections are not valid")
	// ErrMismatch means that the files do not belong together, or were changed.
	ErrMismatch = errors.New("the files do not belong together")
)

// Options control what is rendered.
type Options struct {
	Tools  media.Tools
	Limits media.Limits
	// Output is the output of the pipeline: r1. Its report lies next to it.
	Output string
	// Source is the video that Output was made from. If the file does not exist, or is another one, masks are painted on
	// the latest revision.
	Source string
	Edits  *edits.Document
	// Read controls how the source is decoded.
	Read media.ReadOptions
	// Device is WriteOptions.Device.
	Device  string
	Program report.Program
	// Mode is the mode of the new files.
	Mode os.FileMode
	// Tiles is the maximum number of tiles on the contact sheet; 0 makes none.
	Tiles int
	// Own is called before a complete file gets its final name. It may be nil.
	Own func(temp, path string) error
	// Progress is called with the number of encoded frames, and the number of frames to encode. It may be nil.
	Progress func(done, total int)
}

// Result is a new revision.
type Result struct {
	ID, Path string
	// From is report.FromSource or report.FromOutput. Encoded of the Frames were encoded again; the others were copied.
	From            string
	Encoded, Frames int
}

// Path returns the name of revision n of an output; 1 is the output itself.
func Path(output string, n int) string {
	if n == 1 {
		return output
	}
	extension := filepath.Ext(output)
	return fmt.Sprintf("%s.r%d%s", strings.TrimSuffix(output, extension), n, extension)
}

// ID returns the ID of revision n.
func ID(n int) string { return "r" + strconv.Itoa(n) }

var idPattern = regexp.MustCompile(`^r[1-9][0-9]{0,5}$`)

// Number returns the number of a revision's ID, or 0 if it is not valid.
func Number(id string) int {
	if !idPattern.MatchString(id) {
		return 0
	}
	n, _ := strconv.Atoi(id[1:])
	return n
}

// Latest returns the number of the latest revision of an output.
func Latest(output string) int {
	n := 1
	for {
		if _, err := os.Lstat(Path(output, n+1)); err != nil {
			return n
		}
		n++
	}
}

// Run renders the edits and publishes the result as the next revision, or leaves nothing behind. It fails with
// ErrNothing, ErrSource, ErrInvalid, ErrMismatch, an error of package media, or the context's error.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := Recover(filepath.Dir(o.Output)); err != nil {
		return Result{}, fmt.Errorf("render: %w", err)
	}
	r := &run{Options: o}
	if err := r.prepare(ctx); err != nil {
		return Result{}, fmt.Errorf("render: %w", err)
	}
	err := r.attempt(ctx)
	if r.spliced && ctx.Err() == nil && goesApart(err) {
		r.encodeAll()
		err = r.attempt(ctx)
	}
	if err != nil {
		return Result{}, fmt.Errorf("render: %w", err)
	}
	return Result{ID: ID(r.number), Path: r.path, From: r.from, Encoded: r.encoded, Frames: len(r.pts)}, nil
}

// goesApart reports whether the error may come from joining segments, so that encoding the whole video may work.
func goesApart(err error) bool {
	return errors.Is(err, media.ErrSplice) || errors.Is(err, media.ErrVerification) || errors.Is(err, media.ErrTool)
}

// run is one rendering.
type run struct {
	Options

	number int    // of the new revision
	path   string // final path of the new revision
	first  *report.Report
	base   *report.Report // report of the latest revision
	// baseFile and reportHash identify the latest revision and its report. firstHash identifies r1.
	baseFile              report.File
	reportHash, firstHash string

	from    string
	info    media.Info // of the video to decode
	out     media.Info // of the latest revision
	plan    media.Plan
	pts     []int64 // of all frames, in the time base of info
	painter *edits.Painter
	live    *edits.Live

	segments [][2]int // of the new output
	touched  []bool   // segments to encode
	spliced  bool     // other segments are copied
	encoded  int      // number of frames
}

func (r *run) prepare(ctx context.Context) (err error) {
	latest := Latest(r.Output)
	r.number = latest + 1
	r.path = Path(r.Output, r.number)
	if r.first, err = report.Read(report.Path(r.Output)); err != nil {
		return err
	}
	basePath := Path(r.Output, latest)
	if r.base, err = report.Read(report.Path(basePath)); err != nil {
		return err
	}
	if err := r.identify(ctx, basePath); err != nil {
		return err
	}
	if r.painter, err = edits.NewPainter(&r.first.Settings); err != nil {
		return err
	}
	r.live = r.Edits.Live()
	if r.out, err = r.Tools.Probe(ctx, basePath, r.Limits); err != nil {
		return err
	}
	if err := r.validate(ctx); err != nil {
		return err
	}
	if err := r.chooseSource(ctx); err != nil {
		return err
	}
	if err := r.readTimes(ctx); err != nil {
		return err
	}
	return r.touch()
}

// identify makes sure that edits, reports and outputs belong together and are unchanged since they were published: what
// is copied must be what was approved.
func (r *run) identify(ctx context.Context, basePath string) (err error) {
	if r.baseFile, err = report.Identify(ctx, basePath); err != nil {
		return err
	}
	firstReport, err := report.Identify(ctx, report.Path(r.Output))
	if err != nil {
		return err
	}
	baseReport, err := report.Identify(ctx, report.Path(basePath))
	if err != nil {
		return err
	}
	r.reportHash, r.firstHash = baseReport.SHA256, r.first.Output.SHA256
	based := r.Edits.BasedOn
	switch {
	case based.OutputSHA256 != r.first.Output.SHA256 || based.ReportSHA256 != firstReport.SHA256:
		return fmt.Errorf("%w: the edits are for another output than %s", ErrMismatch, filepath.Base(r.Output))
	case r.baseFile.SHA256 != r.base.Output.SHA256:
		return fmt.Errorf("%w: %s is not the file that its report describes: put that back", ErrMismatch,
			filepath.Base(basePath))
	case r.base.Revision != nil && r.base.Revision.First != r.firstHash:
		return fmt.Errorf("%w: %s is not a revision of %s", ErrMismatch, filepath.Base(basePath), filepath.Base(r.Output))
	case r.Edits.Source.Frames != r.first.Summary.Frames || r.base.Summary.Frames != r.first.Summary.Frames:
		return fmt.Errorf("%w: the numbers of frames differ", ErrMismatch)
	case r.rendered() > len(r.Edits.Operations):
		return fmt.Errorf("%w: the latest revision has %d operations, the edits have %d", ErrMismatch, r.rendered(),
			len(r.Edits.Operations))
	}
	return nil
}

// validate checks the operations again, because a file may come from anywhere.
func (r *run) validate(ctx context.Context) error {
	var times []float64
	tracks := map[int][2]int{} // first and last frame of each track
	err := r.first.Frames(0, r.first.Summary.Frames, func(rec *record.Frame) error {
		times = append(times, rec.PTS.Seconds())
		for track := range edits.Tracks(rec) {
			if _, ok := tracks[track]; !ok {
				tracks[track] = [2]int{rec.Index, rec.Index}
			}
			tracks[track] = [2]int{tracks[track][0], rec.Index}
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	there := func(track, from, to int) (bool, error) {
		seen, ok := tracks[track]
		return ok && seen[0] < to && seen[1] >= from, nil
	}
	if err := r.Edits.Validate(0, edits.Video{Frames: len(times), Times: times, Tracks: there}); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	canvas := edits.Canvas{Width: r.out.Width, Height: r.out.Height, Painter: r.painter, Frames: r.first.Frames}
	found, err := canvas.Uncovered(r.Edits, r.rendered(), r.rendered(), 1)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%w: they uncover %d pixels in frame %d without a reason", ErrInvalid, found[0].Pixels,
			found[0].Frame)
	}
	return err
}

// rendered returns how many operations the latest revision has.
func (r *run) rendered() int {
	if r.base.Revision == nil {
		return 0
	}
	return r.base.Revision.Operations
}

// chooseSource decides what to decode: the source if it is still there, or else the latest revision.
func (r *run) chooseSource(ctx context.Context) (err error) {
	r.from, r.info = report.FromSource, r.out
	if !r.first.Exact() || !r.sourceIsThere(ctx) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.from = report.FromOutput
		if err := r.checkCovers(); err != nil {
			return err
		}
	} else if r.info, err = r.Tools.Probe(ctx, r.Source, r.Limits); err != nil {
		return err
	}
	if r.plan, err = media.NewPlan(r.info, r.writeOptions()); err != nil {
		return err
	}
	r.info = r.plan.Info()
	return nil
}

func (r *run) sourceIsThere(ctx context.Context) bool {
	if r.Source == "" {
		return false
	}
	there, err := report.Identify(ctx, r.Source)
	return err == nil && there.SHA256 == r.first.Source.SHA256
}

// checkCovers refuses what cannot be painted on an output: anything that uncovers, and with an old report, anything but
// additions.
func (r *run) checkCovers() error {
	if err := r.Edits.CoversOnly(r.rendered(), r.first.Exact()); err != nil {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	return nil
}

// writeOptions returns the options of the output. If the latest revision is decoded, everything in it is kept.
func (r *run) writeOptions() media.WriteOptions {
	o := media.WriteOptions{Device: r.Device, Container: strings.TrimPrefix(filepath.Ext(r.Output), ".")}
	if e := r.first.Encoding; e != nil {
		o.Container, o.Codec, o.PixelFormat, o.Quality = e.Container, e.Codec, e.PixelFormat, e.Quality
		o.Preset, o.Encoder, o.Audio, o.Keep = e.Preset, e.Encoder, e.Audio, e.Keep
	} else {
		o.Keep = []string{media.KeepChapters, media.KeepSubtitles}
	}
	if r.from == report.FromOutput {
		o.Codec, o.PixelFormat, o.Audio = media.SameAsSource, media.SameAsSource, media.AudioCopy
	}
	return o
}

// readTimes reads the times of the frames from the latest revision, which a media.Writer made.
func (r *run) readTimes(ctx context.Context) error {
	pts, err := r.Tools.Times(ctx, r.out)
	if err != nil {
		return err
	}
	if len(pts) != r.first.Summary.Frames {
		return fmt.Errorf("%w: the output has %d frames, its report %d", ErrMismatch, len(pts), r.first.Summary.Frames)
	}
	for i := range pts {
		pts[i] = media.Rescale(pts[i], r.out.TimeBase, r.info.TimeBase)
	}
	r.pts = pts
	return nil
}

// touch finds the segments in which the masks differ from those of the latest revision.
func (r *run) touch() error {
	before := r.Edits.Upto(r.rendered()).Live()
	changed := map[int]bool{} // by segment
	r.segments = r.base.Segments
	if !covers(r.segments, len(r.pts)) {
		r.segments = [][2]int{{0, len(r.pts)}}
	} else {
		r.spliced = true
	}
	segment, any := 0, false
	for _, x := range r.Edits.Changed(r.rendered()) {
		// Silhouettes extend to the adjacent frames.
		from, to := max(0, x[0]-1), min(len(r.pts), x[1]+1)
		err := edits.Window(r.first.Frames, from, to, func(prev, frame, next *record.Frame) error {
			for segment > 0 && frame.Index < r.segments[segment][0] {
				segment--
			}
			for frame.Index >= r.segments[segment][1] {
				segment++
			}
			if !changed[segment] && !before.Around(prev, frame, next).Equal(r.live.Around(prev, frame, next)) {
				changed[segment], any = true, true
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if !any {
		return ErrNothing
	}
	r.touched = make([]bool, len(r.segments))
	for i := range r.segments {
		r.touched[i] = changed[i] || !r.spliced
	}
	return nil
}

// covers reports whether the ranges cover all frames, in order.
func covers(ranges [][2]int, frames int) bool {
	at := 0
	for _, x := range ranges {
		if x[0] != at || x[1] <= at {
			return false
		}
		at = x[1]
	}
	return at == frames
}

// encodeAll marks all segments to be encoded.
func (r *run) encodeAll() {
	r.spliced = false
	for i := range r.touched {
		r.touched[i] = true
	}
}

// attempt renders the revision and publishes it.
func (r *run) attempt(ctx context.Context) error {
	b, err := newBundle(r.path, r.Mode)
	if err != nil {
		return err
	}
	defer b.discard()
	if err := r.write(ctx, b.temp); err != nil {
		return err
	}
	companions, err := r.describe(ctx, b)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.publish(append(companions, file{b.temp, r.path}), r.Own)
}
