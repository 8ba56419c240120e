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
	// before each of them. It is an estimate: a frame of 1080p takes 80 ms of CPU time, of which decoder, tracker and
	// painter, each one frame after the other, take less than 10 ms (docs/benchmarks.md).
	unitCores = 8
	// unitAttempts is how often a unit is done, each time from further before it on, until it goes on where the unit
	// before it ends. Then the video is processed in one piece.
	unitAttempts = 2
)

// errUndivided says that a video cannot be processed in units: it has to be in one piece.
var errUndivided = errors.New("the video has to be processed in one piece")

// division is how a video is divided into units.
type division struct {
	times     []int64 // PTS of all frames
	units     []plan.Unit
	undivided bool                // it turned out that they do not go together
	saved     map[int]*checkpoint // what earlier attempts left, by number of the unit
}

// divide divides a long video into units, by itself and the configuration alone. Where there is doubt about its frames,
// it is not divided, and what earlier attempts left of units is removed. Units decide where segments end, whether or
// not several of them are processed at once.
func (v *video) divide(ctx context.Context, info media.Info) (division, error) {
	d := division{saved: v.division.saved}
	if plan.Worthwhile(info.Duration, v.Config.UnitLength) {
		index, err := v.Tools.Index(ctx, info)
		// What took too long is only worth another try if it did not before.
		doubt := errors.Is(err, media.ErrInexact) || errors.Is(err, media.ErrStalled) && len(d.saved) == 0 && !v.patient
		if err != nil && !doubt {
			return d, err
		}
		if doubt { // whether it matters to the video is found when that is decoded
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

// cutsAt reports whether a unit begins with the frame, but for the first one.
func (d *division) cutsAt(frame int) bool {
	if len(d.units) < 2 {
		return false
	}
	_, found := slices.BinarySearchFunc(d.units[1:], frame, func(u plan.Unit, frame int) int { return u.First - frame })
	return found
}

// unitsAtOnce is how many units the next attempt processes at once; 1 processes the video in one piece.
func (v *video) unitsAtOnce(from *checkpoint) int {
	if from != nil || v.division.undivided {
		return 1
	}
	return max(1, min(unitsOf(v.Config, runtime.GOMAXPROCS(0)), len(v.division.units)))
}

// unitsOf is how many units of a video are processed at once on so many cores.
func unitsOf(cfg *config.Config, cores int) int {
	if cfg.MaxConcurrentUnits > 0 {
		return cfg.MaxConcurrentUnits
	}
	return max(1, cores/unitCores/max(1, cfg.MaxConcurrentVideos))
}

// divided reports whether the attempt processes units: several at once, or what an earlier attempt left of that.
func (a *attempt) divided() bool {
	d := &a.division
	return a.unit == nil && a.from == nil && !d.undivided && len(d.units) > 1 && (a.atOnce > 1 || len(d.saved) > 0)
}

// unitState is what a checkpoint has of a unit.
type unitState struct {
	plan.Unit
	// Attempt counts how often the unit is done, from 1.
	Attempt int
	// Before and BeforeWhole are what this unit would mask in the frame before its first one, with its own numbers of
	// people. They are the last frame's of the unit before, or one of both is wrong.
	Before      []mask.Head
	BeforeWhole bool
	// Complete means that all frames of the unit are sealed.
	Complete bool
}

// unitWork is an attempt's unit.
type unitWork struct {
	unitState
	span  *telemetry.UnitSpan
	until int // index of the first frame that does not belong to it; 0 for the video's last unit
}

// mark is in the names of a unit's temporary files.
func (u *unitState) mark() string { return fmt.Sprintf(".unit-%06d", u.Number) }

// check refuses a frame that the index of the video does not have like this.
func (u *unitWork) check(frame *media.Frame) error {
	switch {
	case frame.Index >= u.End:
		return fmt.Errorf("%w: it has more frames than its packets indicate", errUndivided)
	case frame.Repairs != (media.Repairs{}):
		return fmt.Errorf("%w: its frame times are repaired", errUndivided)
	}
	return nil
}

// begin is the time of the video's first frame.
func (a *attempt) begin() time.Duration { return a.plan.Info().TimeOf(a.division.times[0]) }

// loadUnits takes note of the units that earlier attempts left, and goes on with their second pass if they were in one.
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

// unitFiles are the paths of temporary files whose suffixes begin like this.
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

// processUnits takes the units through the pipeline, several at once, and joins them. A unit that does not go on where
// the one before it ends is done again. It fails with errUndivided if that, or anything about the video that a single
// pass may cope with, shows that the video has to be processed in one piece.
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

// undividedUnlessPassing is undividedIf once it is sure that damage is the file's: what passes says nothing about
// units, and those that are sealed are as good as they were.
func (a *attempt) undividedUnlessPassing(ctx context.Context, err error) error {
	if errors.Is(err, media.ErrDamaged) || errors.Is(err, media.ErrNotVideo) {
		if passing := a.confirm(ctx, err, -1); passing != nil {
			return passing
		}
	}
	return undividedIf(err)
}

// undividedIf says that a video has to be processed in one piece after an error that this may avoid, or judges better.
func undividedIf(err error) error {
	if err == nil || errors.Is(err, errUndivided) || !errors.Is(err, media.ErrResume) && !media.Permanent(err) {
		return err
	}
	return fmt.Errorf("%w: %s", errUndivided, err.Error())
}

// apart returns the units that have to be done again, since they do not go on where the one before them ends.
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

// goesOn reports whether the next unit goes on where this one ends. A frame that both mask whole shows nothing of where
// they take people to be, and proves nothing.
func (c *checkpoint) goesOn(next *unitState) bool {
	return !next.BeforeWhole && c.endsWith(next.Before, next.BeforeWhole)
}

// processUnit returns the last checkpoint of a unit that is done: by an earlier attempt at the video, or now.
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

// takeSaved returns what an earlier attempt at the video left of a unit, once; nil for nothing that is of use.
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

// runUnit takes a unit through the pipeline once, from a checkpoint on if there is one.
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

// processToEnd is process for a unit, all of which it seals.
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
	if sink.last == nil || !sink.last.Unit.Complete { // damage showed itself after all
		return nil, fmt.Errorf("%w: the end of a unit cannot be sealed", errUndivided)
	}
	return sink.last, nil
}

// openUnitReader starts decoding some seconds before the first frame that is missing, twice as many if the unit is done
// again.
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

// beforeUnit takes note of what the unit would mask in the frame before its first one.
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

// playing is the playing time of some frames.
func (a *attempt) playing(from, to int) time.Duration {
	times := a.division.times
	if to < len(times) {
		return a.plan.Info().TimeOf(times[to] - times[from])
	}
	return a.plan.Info().TimeOf(times[len(times)-1] - times[from])
}

// join makes of the units what a single pass over the video would have written: the output's segments, the frames of
// its report, its preview, and what was counted.
func (a *attempt) join(ctx context.Context, done []*checkpoint) (err error) {
	a.joined, a.summary, a.repairs = true, record.Summary{}, media.Repairs{}
	parts := make([]media.Part, len(done))
	for n, c := range done {
		parts[n] = media.Part{Temp: a.job.TempFor(c.Unit.mark() + filepath.Ext(a.file.Temp)), Progress: c.Video}
		a.summary.Add(c.Done)
		a.repairs = a.repairs.Add(c.Repairs) // of units, there are none
	}
	if a.writer, err = a.Tools.Join(ctx, a.file.Temp, a.plan, parts, a.division.times); err != nil {
		return err
	}
	a.writer.CompareKeyFrames() // of nothing: all segments are sealed
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

// appendUnits adds the frames of all units to the report. People keep their numbers where a unit goes on with whom the
// unit before it masked last.
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
