// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pipeline"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/plan"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
)

const (
	// unitCores is how many cores a single unit keeps busy. More units at once only repeat what is decoded and analyzed
	// before each of them. It is an estimate: a 1080p frame takes 80 ms of CPU time, of which the decoder, the tracker and
	// the painter, which process one frame after another, take less than 10 ms (docs/benchmarks.md).
	unitCores = 8
	// unitAttempts is how often a unit is processed, each time starting further before it, until it continues where the
	// unit before it ends. After that, the video is processed in one piece.
	unitAttempts = 2
)

// errUndivided means that a video cannot be processed in units, but only in one piece.
var errUndivided = errors.New("the video has to be processed in one piece")

// division is how a video is divided into units.
type division struct {
	times     []int64 // PTS of all frames
	units     []plan.Unit
	undivided bool                // they turned out not to fit together
	saved     map[int]*checkpoint // what earlier attempts left, by unit number
}

// divide divides a long video into units, depending only on the video and the configuration. If there is doubt about
// its frames, it is not divided, and the units that earlier attempts left are removed. Units decide where segments end,
// whether or not several units are processed at once.
func (v *video) divide(ctx context.Context, info media.Info) (division, error) {
	d := division{saved: v.division.saved}
	if plan.Worthwhile(info.Duration, v.Config.UnitLength) {
		index, err := v.Tools.Index(ctx, info)
		// A stalled index is worth another try only if it succeeded before, or if the video is patient.
		doubt := errors.Is(err, media.ErrInexact) || errors.Is(err, media.ErrStalled) && len(d.saved) == 0 && !v.patient
		if err != nil && !doubt {
			return d, err
		}
		if doubt { // decoding will show whether it matters
			v.logger.Info("long video is processed in one piece", zap.NamedError("cause", err))
		} else {
			d.times, d.units = index.Times, plan.Units(info.TimeBase, index, v.Config.UnitLength)
		}
	}
	if len(d.units) < 2 && len(d.saved) > 0 {
		d.saved = nil
		return d, v.job.Restart()
	}
	return d, nil
}

// cutsAt reports whether a unit other than the first begins with the frame.
func (d *division) cutsAt(frame int) bool {
	if len(d.units) < 2 {
		return false
	}
	_, found := slices.BinarySearchFunc(d.units[1:], frame, func(u plan.Unit, frame int) int { return u.First - frame })
	return found
}

// unitsAtOnce returns how many units the next attempt processes at once; 1 processes the video in one piece.
func (v *video) unitsAtOnce(from *checkpoint) int {
	if from != nil || v.division.undivided {
		return 1
	}
	return max(1, min(unitsOf(v.Config, runtime.GOMAXPROCS(0)), len(v.division.units)))
}

// unitsOf returns how many units of a video are processed at once on the given number of cores.
func unitsOf(cfg *config.Config, cores int) int {
	if cfg.MaxConcurrentUnits > 0 {
		return cfg.MaxConcurrentUnits
	}
	return max(1, cores/unitCores/max(1, cfg.MaxConcurrentVideos))
}

// divided reports whether the attempt processes units: several at once, or what an earlier attempt left of them.
func (a *attempt) divided() bool {
	d := &a.division
	return a.unit == nil && a.from == nil && !d.undivided && len(d.units) > 1 && (a.atOnce > 1 || len(d.saved) > 0)
}

// unitState is what a checkpoint contains about a unit.
type unitState struct {
	plan.Unit
	// Attempt counts how often the unit is processed, from 1.
	Attempt int
	// Before and BeforeWhole are what this unit would mask in the frame before its first one, with its own numbers of
	// people. They must equal what the previous unit masks in that frame, its last one; otherwise one of the two is wrong.
	Before      []mask.Head
	BeforeWhole bool
	// Complete means that all frames of the unit are sealed.
	Complete bool
}

// unitWork is the unit that an attempt processes.
type unitWork struct {
	unitState
	span  *telemetry.UnitSpan
	until int // index of the first frame after it; 0 for the video's last unit
}

// mark returns the part of temporary file names that identifies the unit.
func (u *unitState) mark() string { return fmt.Sprintf(".unit-%06d", u.Number) }

// check rejects a frame that contradicts the index of the video.
func (u *unitWork) check(frame *media.Frame) error {
	switch {
	case frame.Index >= u.End:
		return fmt.Errorf("%w: it has more frames than its packets indicate", errUndivided)
	case frame.Repairs != (media.Repairs{}):
		return fmt.Errorf("%w: its frame times are repaired", errUndivided)
	}
	return nil
}

// begin returns the time of the video's first frame.
func (a *attempt) begin() time.Duration { return a.plan.Info().TimeOf(a.division.times[0]) }

// loadUnits loads the units that earlier attempts left, and continues their second pass if they were in one.
func (v *video) loadUnits() error {
	v.division.saved = map[int]*checkpoint{}
	names, err := v.unitFiles(".unit-")
	if err != nil {
		return err
	}
	for _, path := range names {
		if !strings.HasSuffix(path, checkpointSuffix) {
			continue
		}
		c, err := v.readCheckpoint(path)
		if err != nil {
			return err
		}
		if c == nil || c.Unit == nil {
			continue
		}
		if c.SecondPass != nil && v.second == nil {
			v.passAgain(c.SecondPass)
		}
		v.division.saved[c.Unit.Number] = c
	}
	return nil
}

// unitFiles returns the paths of the temporary files whose suffixes begin with mark.
func (v *video) unitFiles(mark string) (paths []string, err error) {
	stem := v.job.TempFor(mark)
	entries, err := os.ReadDir(filepath.Dir(stem))
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), filepath.Base(stem)) {
			paths = append(paths, filepath.Join(filepath.Dir(stem), entry.Name()))
		}
	}
	return paths, nil
}

// discardUnit removes the files of a unit.
func (v *video) discardUnit(u unitState) error {
	paths, err := v.unitFiles(u.mark())
	for _, path := range paths {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return err
	}
	v.saving.Lock()
	defer v.saving.Unlock()
	delete(v.safe, u.Number)
	return nil
}

// processUnits takes the units through the pipeline, several at once, and joins them. A unit that does not continue
// where the one before it ends is redone. processUnits fails with errUndivided if that, or anything about the video
// that a single pass may cope with, shows that the video must be processed in one piece.
func (a *attempt) processUnits(ctx context.Context) error {
	done := make([]*checkpoint, len(a.division.units))
	due := make([]unitState, len(done))
	for n, u := range a.division.units {
		due[n] = unitState{Unit: u, Attempt: 1}
	}
	a.logger.Info("video is processed in units", zap.Int("units", len(due)), zap.Int("at_once", a.atOnce))
	for len(due) > 0 {
		group, together := errgroup.WithContext(ctx)
		group.SetLimit(a.atOnce)
		for _, u := range due {
			group.Go(func() (err error) {
				if together.Err() != nil {
					return together.Err()
				}
				done[u.Number], err = a.processUnit(together, u)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return a.undividedUnlessPassing(ctx, err)
		}
		var err error
		if due, err = a.apart(done); err != nil {
			return err
		}
	}
	return undividedIf(a.join(ctx, done))
}

// undividedUnlessPassing is undividedIf, but first makes sure that damage is in the file: temporary faults say nothing
// about units, and leave sealed ones as good as they were.
func (a *attempt) undividedUnlessPassing(ctx context.Context, err error) error {
	if errors.Is(err, media.ErrDamaged) || errors.Is(err, media.ErrNotVideo) {
		if passing := a.confirm(ctx, err, -1); passing != nil {
			return passing
		}
	}
	return undividedIf(err)
}

// undividedIf turns an error into errUndivided if processing the video in one piece may avoid it, or judge it better.
func undividedIf(err error) error {
	if err == nil || errors.Is(err, errUndivided) || !errors.Is(err, media.ErrResume) && !media.Permanent(err) {
		return err
	}
	return fmt.Errorf("%w: %s", errUndivided, err.Error())
}

// apart returns the units that must be redone, because they do not continue where the one before them ends.
func (a *attempt) apart(done []*checkpoint) (again []unitState, err error) {
	for n, c := range done[min(1, len(done)):] {
		if done[n].goesOn(c.Unit) {
			continue
		}
		u := *c.Unit
		if u.Attempt >= unitAttempts {
			return nil, fmt.Errorf("%w: people are not where they were in frame %d, which two of its units have in common",
				errUndivided, u.First-1)
		}
		a.logger.Warn("a unit of the video is redone, starting further before it: people are not where they were in "+
			"the last frame of the unit before it", zap.Int("unit", u.Number), zap.Int("frame", u.First-1))
		again = append(again, unitState{Unit: u.Unit, Attempt: u.Attempt + 1})
	}
	return again, nil
}

// goesOn reports whether the next unit continues where this one ends. A frame that both mask whole does not show where
// they take people to be, and proves nothing.
func (c *checkpoint) goesOn(next *unitState) bool {
	return !next.BeforeWhole && c.endsWith(next.Before, next.BeforeWhole)
}

// processUnit returns the last checkpoint of a unit that an earlier attempt at the video finished, or that it finishes
// now.
func (a *attempt) processUnit(ctx context.Context, u unitState) (*checkpoint, error) {
	saved := a.takeSaved(u)
	if saved != nil && saved.Unit.Complete {
		span := a.span.Unit(a.describeUnit(*saved.Unit))
		span.Resumed(a.playing(u.First, u.End), u.Frames())
		return saved, a.recordProgress(saved.Unit, saved.Video.Frames)
	}
	if saved != nil {
		c, err := a.runUnit(ctx, *saved.Unit, saved)
		if err == nil || !errors.Is(err, media.ErrResume) {
			return c, err
		}
		a.logger.Warn("a unit of the video restarts from its beginning", zap.Int("unit", u.Number),
			zap.NamedError("cause", err))
	}
	if err := a.discardUnit(u); err != nil {
		return nil, err
	}
	return a.runUnit(ctx, u, nil)
}

// takeSaved returns what an earlier attempt at the video left of a unit, only once, or nil if nothing usable is left.
func (a *attempt) takeSaved(u unitState) *checkpoint {
	a.saving.Lock()
	defer a.saving.Unlock()
	c := a.division.saved[u.Number]
	delete(a.division.saved, u.Number)
	if c == nil || c.Unit.Unit != u.Unit || c.Unit.Attempt < u.Attempt || (c.SecondPass == nil) != (a.second == nil) {
		return nil
	}
	return c
}

// runUnit takes a unit through the pipeline once, starting from a checkpoint if there is one.
func (a *attempt) runUnit(ctx context.Context, u unitState, from *checkpoint) (c *checkpoint, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work := &unitWork{unitState: u, span: a.span.Unit(a.describeUnit(u))}
	if u.End < len(a.division.times) {
		work.until = u.End
	}
	b := &attempt{video: a.video, plan: a.plan, fingerprint: a.fingerprint, from: from, atOnce: a.atOnce, unit: work,
		progress: a.progress}
	defer func() {
		b.close()
		work.span.Decoded(b.decoded())
		work.span.End(err)
	}()
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	return b.processToEnd(ctx)
}

// processToEnd takes a unit through the pipeline, and seals all of it.
func (a *attempt) processToEnd(ctx context.Context) (*checkpoint, error) {
	sink, err := a.pass(ctx)
	if err != nil {
		return nil, err
	}
	if damage := a.reader.Damage(); damage != nil {
		return nil, damage
	}
	if frames := sink.summary.Frames; frames != a.unit.Frames() {
		return nil, fmt.Errorf("%w: a unit has %d of its %d frames", errUndivided, frames, a.unit.Frames())
	}
	a.unit.Complete = true
	if err := sink.seal(); err != nil {
		return nil, err
	}
	if sink.last == nil || !sink.last.Unit.Complete { // there was damage after all
		return nil, fmt.Errorf("%w: the end of a unit cannot be sealed", errUndivided)
	}
	return sink.last, nil
}

// openUnitReader starts decoding some seconds before the first missing frame, twice as many if the unit is redone.
func (a *attempt) openUnitReader(ctx context.Context, info media.Info, options media.ReadOptions) (err error) {
	next, first := a.unit.First, 0
	if a.from != nil {
		next += a.from.Done.Frames
		a.unit.span.Resumed(a.playing(a.unit.First, next), a.from.Done.Frames)
		a.logger.Info("a unit of the video resumes where an earlier attempt ended", zap.Int("unit", a.unit.Number),
			zap.Int("frames_done", a.from.Done.Frames))
	}
	times := a.division.times
	if next > 0 {
		first = a.resumeAt(times[:next], info, a.unit.Attempt)
		a.resume = &pipeline.Resume{First: next, Begin: a.begin()}
	}
	a.reader, err = a.Tools.OpenAt(ctx, info, options, times, first)
	return err
}

// beforeUnit records what the unit would mask in the frame before its first one.
func (s *sink) beforeUnit(rec *record.Frame) error {
	heads := slices.Clone(rec.Heads)
	for i := range heads {
		heads[i].Track = s.tracks.of(heads[i].Track)
	}
	s.unit.Before, s.unit.BeforeWhole = heads, rec.WholeFrameMasked
	return nil
}

func (a *attempt) describeUnit(u unitState) telemetry.Unit {
	info := a.plan.Info()
	return telemetry.Unit{Number: u.Number, Attempt: u.Attempt, From: info.TimeOf(u.From), To: info.TimeOf(u.To)}
}

// playing returns the playing time of the frames from index from to index to.
func (a *attempt) playing(from, to int) time.Duration {
	times := a.division.times
	if to < len(times) {
		return a.plan.Info().TimeOf(times[to] - times[from])
	}
	return a.plan.Info().TimeOf(times[len(times)-1] - times[from])
}

// join combines the units into what a single pass over the video would have written: the output's segments, the frames
// of its report, its preview, and what was counted.
func (a *attempt) join(ctx context.Context, done []*checkpoint) (err error) {
	a.joined, a.summary, a.repairs = true, record.Summary{}, media.Repairs{}
	parts := make([]media.Part, len(done))
	for n, c := range done {
		parts[n] = media.Part{Temp: a.job.TempFor(c.Unit.mark() + filepath.Ext(a.file.Temp)), Progress: c.Video}
		a.summary.Add(c.Done)
		a.repairs = a.repairs.Add(c.Repairs) // units have none
	}
	if a.writer, err = a.Tools.Join(ctx, a.file.Temp, a.plan, parts, a.division.times); err != nil {
		return err
	}
	a.writer.CompareKeyFrames() // compares nothing: all segments are sealed
	a.review, err = a.joinReviews(ctx, done)
	return err
}

// joinReviews is openReview for a video whose units are done.
func (a *attempt) joinReviews(ctx context.Context, done []*checkpoint) (*review, error) {
	r := &review{attempt: a, written: a.writer, streams: a.plan.Info().Streams}
	if a.Config.Report.Preview == config.PreviewBoxes {
		parts := make([]media.Part, len(done))
		for n, c := range done {
			temp := a.job.TempFor(c.Unit.mark() + previewMark + filepath.Ext(a.file.Output))
			parts[n] = media.Part{Temp: temp, Progress: *c.Preview}
		}
		var err error
		if r.preview, err = a.Tools.Join(ctx, r.previewTemp(), a.plan, parts, a.division.times); err != nil {
			return r, err
		}
	}
	if !a.Config.Report.Enabled && !a.Config.Report.ContactSheet {
		return r, nil
	}
	// An attempt that was killed may have left them.
	_, _, _ = os.Remove(r.reportTemp()), os.Remove(r.sheetTemp()), os.Remove(r.temp(framesSuffix))
	if err := r.openRecorder(ctx, nil); err != nil {
		return r, err
	}
	return r, r.appendUnits(done)
}

// appendUnits adds the frames of all units to the report. People whom one unit masks at its end keep their numbers in
// the next one.
func (r *review) appendUnits(done []*checkpoint) error {
	last, edge := 0, []mask.Head(nil)
	for _, c := range done {
		var numbers trackNumbers
		numbers.resume(last, edge, c.Unit.Before)
		frames := r.job.TempFor(c.Unit.mark() + framesSuffix)
		if err := r.recorder.Append(frames, *c.Report, numbers.of); err != nil {
			return media.SealedError(frames, err)
		}
		edge = slices.Clone(c.Heads)
		for i := range edge {
			edge[i].Track = numbers.of(edge[i].Track)
		}
		last = numbers.last
	}
	return nil
}
