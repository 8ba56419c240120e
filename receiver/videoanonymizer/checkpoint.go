// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"sort"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pipeline"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

const (
	// segmentWork bounds the time that a segment takes: with a machine that is much slower than the video plays, a segment as long
	// as configured would be minutes of work.
	segmentWork = 30 * time.Second
	// runIn is how much before its first frame a video that goes on is looked at, beside twice the look-ahead: people are followed
	// again by then. Whether they are is checked.
	runIn = 3 * time.Second
	// seamTolerance is how far in pixels a mask at the seam may be from where it was: the order in which sums are taken differs.
	seamTolerance = 0.5
)

// checkpoint is what stands, safe on the disk, of a video that is not finished.
type checkpoint struct {
	// Made identifies source, program, models and configuration: only the same go on.
	Made    string           `json:"made"`
	Video   media.Progress   `json:"video"`
	Preview *media.Progress  `json:"preview,omitempty"`
	Report  *report.Progress `json:"report,omitempty"`
	Begin   time.Duration    `json:"begin"`
	// Heads and Whole are what is masked in the last frame.
	Heads []mask.Head      `json:"heads"`
	Whole bool             `json:"whole"`
	Done  pipeline.Summary `json:"done"`
}

func (v *video) checkpointPath() string { return v.job.TempFor(".checkpoint.json") }

// program is the digest of the program that runs. Its version would not do: builds of one version differ.
var program = sync.OnceValues(func() (string, error) {
	file, err := report.Identify(context.Background(), "/proc/self/exe")
	return file.SHA256, err
})

// made identifies all that the output depends on.
func (v *video) made() (string, error) {
	ours, err := program()
	if err != nil {
		return "", fmt.Errorf("identify the work: %w", err)
	}
	cfg := *v.receiver.cfg
	cfg.Watch, cfg.Retry, cfg.Telemetry, cfg.Metrics = watch.Config{}, watch.Retry{}, TelemetryConfig{}, metadata.MetricsConfig{}
	text, err := json.Marshal(struct {
		Program, Runtime string
		Config           Config
		Models           []report.Model
		Path             string
		Size             int64
		ModTime          time.Time
	}{ours, onnx.Version(), cfg, v.receiver.models.used, v.job.Path, v.job.Size, v.job.ModTime.UTC()})
	if err != nil {
		return "", fmt.Errorf("identify the work: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// load returns what an earlier attempt left, or nil where there is nothing to go on with, and nothing left then.
func (v *video) load(made string) (*checkpoint, error) {
	if !v.job.Resumable() {
		return nil, nil
	}
	text, err := os.ReadFile(v.checkpointPath())
	var c checkpoint
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	cfg := v.receiver.cfg.Report
	whole := c.Video.Frames > 0 && (c.Report != nil || !cfg.Enabled && !cfg.ContactSheet) && (c.Preview != nil || cfg.Preview == NoPreview)
	logger := v.receiver.set.Logger.With(zap.String("video", v.job.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		logger.Warn("the checkpoint of a video cannot be read: it is begun anew", zap.Error(err))
	case c.Made != made || !whole:
		logger.Info("video begun anew: the program, its models or its configuration changed")
	default:
		return &c, nil
	}
	return nil, v.job.Restart()
}

// save replaces the checkpoint. The old one counts until the new one is complete.
func (v *video) save(c checkpoint) error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	fresh := v.job.TempFor(".checkpoint.new")
	if err = durable.WriteFile(fresh, text, 0o666); err == nil {
		err = os.Rename(fresh, v.checkpointPath())
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	v.sealed = true
	return v.job.RecordProgress(c.Video.Frames)
}

// resumeAt is the frame from which a video is looked at that goes on after those whose PTS are known: one that is judged, as it was.
func (v *video) resumeAt(known []int64, info media.Info) int {
	cfg := v.receiver.cfg
	back := runIn + 2*cfg.LookAhead
	last := known[len(known)-1]
	first := sort.Search(len(known), func(i int) bool { return info.TimeOf(last)-info.TimeOf(known[i]) <= back })
	return first - first%cfg.DetectEvery
}

// seam makes sure that the last frame that was written would be masked the same now: then nobody is lost at the seam. The heads come
// in the order in which people were first seen, which may be another.
func (c *checkpoint) seam(rec *telemetry.FrameRecord) error {
	same := rec.WholeFrameMasked == c.Whole && len(rec.Heads) == len(c.Heads)
	left := slices.Clone(rec.Heads)
	for _, h := range c.Heads {
		i := slices.IndexFunc(left, func(now mask.Head) bool { return near(now, h) })
		if i < 0 {
			same = false
			break
		}
		left = slices.Delete(left, i, i+1)
	}
	if !same {
		return fmt.Errorf("%w: people are not where they were in frame %d", media.ErrResume, rec.Index)
	}
	return nil
}

func near(a, b mask.Head) bool {
	for _, d := range [...]float32{a.X - b.X, a.Y - b.Y, a.RX - b.RX, a.RY - b.RY, (a.Angle - b.Angle) * (a.RX - a.RY)} {
		if !(math.Abs(float64(d)) <= seamTolerance) {
			return false
		}
	}
	return a.Box == b.Box
}

// sealer hands the frames to the writer, and now and then makes safe what was written, so that a crash costs no more than the work
// since.
type sealer struct {
	video  *video
	made   string
	reader *media.Reader
	writer *media.Writer
	review *review

	begin time.Duration // of the video
	done  pipeline.Summary
	heads []mask.Head // of the last frame
	whole bool

	frames int           // of the segment at hand
	from   time.Duration // its first frame's time
	since  time.Time     // when that came
}

// Write takes the next frame.
func (s *sealer) Write(frame *media.Frame) error {
	length := s.video.receiver.cfg.Output.SegmentLength
	if s.frames > 0 && (frame.Time-s.from >= length || time.Since(s.since) >= segmentWork) {
		if err := s.seal(); err != nil {
			return err
		}
		s.frames = 0
	}
	if s.frames == 0 {
		s.from, s.since = frame.Time, time.Now()
	}
	if s.done.Frames == 0 {
		s.begin = frame.Time
	}
	s.frames++
	return s.writer.Write(frame)
}

// reviewed takes the frame's record once it is written.
func (s *sealer) reviewed(frame *media.Frame, rec *telemetry.FrameRecord) error {
	s.done.Count(rec)
	s.heads, s.whole = rec.Heads, rec.WholeFrameMasked
	return s.review.frame(frame, rec)
}

func (s *sealer) seal() (err error) {
	if s.reader.Damage() != nil { // what is known of it would be lost
		return nil
	}
	c := checkpoint{Made: s.made, Begin: s.begin, Heads: s.heads, Whole: s.whole, Done: s.done}
	if c.Video, err = s.writer.Seal(); err != nil {
		return err
	}
	if c.Preview, c.Report, err = s.review.seal(); err != nil {
		return err
	}
	return s.video.save(c)
}
