// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"regexp"
	"slices"
	"sort"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/pipeline"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

const (
	// warmUp is how far before its first missing frame the analysis of a resumed video starts, in addition to the survey
	// interval and twice the look-ahead: by then, people are tracked again. checkBoundary verifies that.
	warmUp = 3 * time.Second
	// boundaryTolerance is how far, in pixels, a mask at the boundary may be from where it was, because sums are computed
	// in a different order.
	boundaryTolerance = 0.5
	// checkpointFormat is the only format that is read. A video restarts from the beginning if its checkpoint has another
	// one, such as that of a newer program.
	checkpointFormat = 1
)

// checkpoint is what is safely on disk of an unfinished video.
type checkpoint struct {
	// Format is checkpointFormat.
	Format int `json:"format"`
	// Fingerprint identifies source, program, models and configuration: only an attempt with the same one may resume.
	Fingerprint string           `json:"fingerprint"`
	Video       media.Progress   `json:"video"`
	Preview     *media.Progress  `json:"preview,omitempty"`
	Report      *report.Progress `json:"report,omitempty"`
	Begin       time.Duration    `json:"begin"`
	// Heads and Whole are what is masked in the last frame.
	Heads []mask.Head `json:"heads"`
	Whole bool        `json:"whole"`
	// Tracks is the number of people so far.
	Tracks int            `json:"tracks"`
	Done   record.Summary `json:"done"`
	// Repairs is what was repaired in the times of the frames that are done.
	Repairs media.Repairs `json:"repairs"`
	// SecondPass is why the video is processed again with recall: thorough; nil in the first pass.
	SecondPass *report.SecondPass `json:"second_pass,omitempty"`
	// Unit is the unit that the checkpoint belongs to; nil for the whole video.
	Unit *unitState `json:"unit,omitempty"`
	// Damage is what could not be decoded, once all frames of the video are sealed.
	Damage string `json:"damage,omitempty"`
	// SHA256 is the digest of the other fields as JSON, in hex.
	SHA256 string `json:"sha256,omitempty"`
}

// encode returns the checkpoint as JSON, with its digest.
func (c checkpoint) encode() ([]byte, error) {
	var err error
	c.Format = checkpointFormat
	if c.SHA256, err = c.digest(); err != nil {
		return nil, err
	}
	return json.Marshal(c)
}

// decodeCheckpoint decodes what encode returned. It fails if the text was changed, or has another format.
func decodeCheckpoint(text []byte) (c checkpoint, err error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return c, err
	}
	if head.Format != checkpointFormat {
		return c, fmt.Errorf("it has format %d, but this program reads %d", head.Format, checkpointFormat)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, err
	}
	sum, err := c.digest()
	if err == nil && sum != c.SHA256 {
		err = errors.New("it has been changed")
	}
	return c, err
}

func (c checkpoint) digest() (string, error) {
	c.SHA256 = ""
	return digestJSON(c)
}

// digestJSON returns the SHA-256 digest of v as JSON, in hex.
func digestJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// outputCompatibility is the same number in all releases that make the same output from the same source, configuration
// and models: one of them can finish a video that another has begun. Raise it when you change what is decoded,
// detected, tracked, masked or encoded; build/release.sh asks. It is a variable for tests, which set it through the
// linker.
var outputCompatibility = "1"

// released matches the version of a release. Builds between releases have other versions.
var released = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+$`)

// executable returns the digest of the running program.
var executable = sync.OnceValues(func() (string, error) {
	file, err := report.Identify(context.Background(), "/proc/self/exe")
	return file.SHA256, err
})

// maker identifies the program as far as its outputs depend on it: a release by its compatibility, so that a video
// continues after an upgrade, and any other build by its digest, since nobody has checked what changed.
func maker(version string) (string, error) {
	if released.MatchString(version) {
		return "compatibility " + outputCompatibility, nil
	}
	return executable()
}

// fingerprint identifies everything that the output of a file depends on.
func (r *Runner) fingerprint(f file) (string, error) {
	made, err := r.made()
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	var tools config.Tools
	if f.Shared == "" { // on one machine, another path may be another encoder, whose segments do not fit
		tools = r.Config.Tools
		tools.Confine = ""
	}
	sum, err := digestJSON(struct {
		Made, Path string
		Tools      config.Tools
		Size       int64
		ModTime    time.Time
	}{made, cmp.Or(f.Shared, f.Path), tools, f.Size, f.ModTime.UTC()})
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	return sum, nil
}

// made identifies what makes outputs from sources: program, models and configuration, but not where files are or how
// much a machine does at once. If two machines have the same identity, either can finish what the other begins.
func (r *Runner) made() (string, error) { return r.madeBy(r.Models.identify()) }

// madeBy is made for models that are identified by the given list.
func (r *Runner) madeBy(models []report.Model) (string, error) {
	program, err := maker(r.Program.Version)
	if err != nil {
		return "", err
	}
	cfg := *r.Config
	cfg.Watch, cfg.Retry = watch.Config{}, watch.Retry{}
	cfg.Telemetry, cfg.Metrics, cfg.Review = config.Telemetry{}, metadata.MetricsConfig{}, config.Review{}
	cfg.Retention, cfg.Notifications, cfg.Schedule = config.Retention{}, nil, config.Schedule{}
	cfg.Resources = config.Resources{}
	cfg.Tools = config.Tools{Decoder: cfg.Tools.Decoder}
	cfg.Inference.Library, cfg.Inference.Threads, cfg.Inference.Sessions, cfg.Inference.Timeout = "", 0, 0, 0
	cfg.Inference.ProviderOptions = maps.Clone(cfg.Inference.ProviderOptions)
	delete(cfg.Inference.ProviderOptions, "device_id")
	if len(cfg.Inference.ProviderOptions) == 0 {
		cfg.Inference.ProviderOptions = nil
	}
	forgetPaths(&cfg)
	cfg.Inference.Remote = config.Remote{} // the models say what the servers serve
	cfg.Share = nil
	cfg.Models, cfg.Console, cfg.MaxConcurrentVideos, cfg.MaxConcurrentUnits = config.Models{}, nil, 0, 0
	out := &cfg.Output
	out.Directory, out.StateDirectory, out.QuarantineDirectory, out.MoveTo = "", "", "", ""
	out.OnSuccess, out.OnSalvage, out.MinFreeSpace = "", "", 0
	return digestJSON(struct {
		Program, Runtime string
		Profile          string
		Config           config.Config
		Models           []report.Model
	}{program, onnx.Version(), cfg.Profile(), cfg, models})
}

// forgetPaths removes the paths of models, which are identified by their digests.
func forgetPaths(cfg *config.Config) {
	d := &cfg.Detector
	d.Also, d.Survey.Models = slices.Clone(d.Also), slices.Clone(d.Survey.Models)
	names := []*string{&d.Model, &d.Faces, &d.Survey.Faces, &cfg.Pose.Model, &cfg.Segmentation.Model}
	for _, list := range [][]string{d.Also, d.Survey.Models} {
		for i := range list {
			names = append(names, &list[i])
		}
	}
	for _, name := range names {
		if config.IsModelPath(*name) {
			*name = ""
		}
	}
}

const checkpointSuffix = ".checkpoint.json"

// loadCheckpoint returns what an earlier attempt left, and continues its second pass if it was in one. If only units
// are left to resume from, it returns nil and loads them. If nothing usable is left, it removes all leftovers.
func (v *video) loadCheckpoint() (*checkpoint, error) {
	if !v.job.Resumable() {
		return nil, nil
	}
	c, err := v.readCheckpoint(v.job.TempFor(checkpointSuffix))
	if err != nil {
		return nil, err
	}
	if c == nil {
		if err := v.loadUnits(); err != nil || len(v.division.saved) > 0 {
			return nil, err
		}
		return nil, v.job.Restart()
	}
	if c.SecondPass != nil {
		v.passAgain(c.SecondPass)
	}
	return c, nil
}

// readCheckpoint returns the checkpoint at a path, or nil if there is none that an attempt can resume from.
func (v *video) readCheckpoint(path string) (*checkpoint, error) {
	text, err := durable.ReadFile(path)
	var c checkpoint
	if err == nil {
		c, err = decodeCheckpoint(text)
	}
	pass := v.Runner
	if c.SecondPass != nil {
		pass = v.asThorough()
	}
	fingerprint, failed := pass.fingerprint(v.file)
	switch {
	case failed != nil:
		return nil, failed
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		v.logger.Warn("the checkpoint cannot be read: the video restarts from the beginning", zap.Error(err))
	case c.Fingerprint != fingerprint:
		v.logger.Info("the program, its models or its configuration changed: the video restarts from the beginning")
	case !c.complete(v.Config.Report):
		v.logger.Warn("the checkpoint contradicts itself: the video restarts from the beginning")
	default:
		return &c, nil
	}
	return nil, nil
}

// complete reports whether the checkpoint has what the configured companion files need, for the same frames.
func (c *checkpoint) complete(cfg config.Report) bool {
	return c.Video.Frames > 0 && c.Video.Frames == int64(c.Done.Frames) &&
		(c.Report != nil || !cfg.Enabled && !cfg.ContactSheet) &&
		(c.Preview != nil && c.Preview.Frames == c.Video.Frames || cfg.Preview == config.NoPreview)
}

// saveCheckpoint replaces the checkpoint. The old one stays valid until the new one is complete.
func (a *attempt) saveCheckpoint(c checkpoint) error {
	text, err := c.encode()
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if a.shared != nil {
		return a.shared.seal(a, &c, text)
	}
	if err := durable.ReplaceFile(a.temp(checkpointSuffix), text, durable.Private); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return a.recordProgress(c.Unit, c.Video.Frames)
}

// recordProgress records how many frames of the video, or of one of its units, are on disk.
func (v *video) recordProgress(unit *unitState, frames int64) error {
	v.saving.Lock()
	defer v.saving.Unlock()
	v.sealed = true
	number := 0
	if unit != nil {
		number = unit.Number
	}
	v.safe[number] = frames
	sum := int64(0)
	for _, frames := range v.safe {
		sum += frames
	}
	if v.second != nil {
		sum += int64(v.second.FirstFrames)
	}
	return v.job.RecordProgress(sum)
}

// resumeAt returns the frame at which analysis resumes, given the PTS of the frames that are done. That frame was
// analyzed before. It is far enough back that people are tracked again by the first missing frame, or times as far.
func (v *video) resumeAt(done []int64, info media.Info, times int) int {
	back := time.Duration(times) * (warmUp + 2*v.Config.LookAhead + v.Config.Detector.Survey.Interval)
	last := done[len(done)-1]
	first := sort.Search(len(done), func(i int) bool { return info.TimeOf(last)-info.TimeOf(done[i]) <= back })
	return first - first%pipeline.Every(v.Config.DetectEvery)
}

// checkBoundary makes sure that the last frame that was written would be masked the same way now, so that nobody is
// lost at the boundary. It fails with media.ErrResume.
func (c *checkpoint) checkBoundary(rec *record.Frame) error {
	if !c.endsWith(rec.Heads, rec.WholeFrameMasked) {
		return fmt.Errorf("%w: people are not where they were in frame %d", media.ErrResume, rec.Index)
	}
	return nil
}

// endsWith reports whether the last frame is masked like this. The order of the heads, in which people were first seen,
// does not matter.
func (c *checkpoint) endsWith(heads []mask.Head, whole bool) bool {
	if whole != c.Whole || len(heads) != len(c.Heads) {
		return false
	}
	left := slices.Clone(heads)
	for _, before := range c.Heads {
		i := slices.IndexFunc(left, func(now mask.Head) bool { return sameMask(now, before) })
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return true
}

func sameMask(a, b mask.Head) bool {
	for _, d := range [...]float32{a.X - b.X, a.Y - b.Y, a.RX - b.RX, a.RY - b.RY, (a.Angle - b.Angle) * (a.RX - a.RY)} {
		if !(math.Abs(float64(d)) <= boundaryTolerance) {
			return false
		}
	}
	return a.Box == b.Box
}
