// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// Config is what an operator can set. Everything but Watch.Include and Output.Directory has a default.
type Config struct {
	// Watch says which videos are taken.
	Watch watch.Config `mapstructure:"watch"`
	// Output says where the anonymized videos go and how they are encoded.
	Output OutputConfig `mapstructure:"output"`
	// Retry says how a video is tried again after a cause that may pass.
	Retry watch.Retry `mapstructure:"retry"`
	// Recall sets how hard heads are looked for: fast, balanced or thorough. It gives the defaults of detect_every and of keys in
	// Detector and Pose; a key that is written counts.
	Recall Recall `mapstructure:"recall"`
	// Detector finds the people in a frame.
	Detector DetectorConfig `mapstructure:"detector"`
	// Pose finds the head of each person.
	Pose PoseConfig `mapstructure:"pose"`
	// Segmentation finds the silhouette of each person, with method whitelist.
	Segmentation SegmentationConfig `mapstructure:"segmentation"`
	// Mask says how heads are covered.
	Mask MaskConfig `mapstructure:"mask"`
	// Inference says on what the models run.
	Inference InferenceConfig `mapstructure:"inference"`
	// Models says where the models are.
	Models ModelsConfig `mapstructure:"models"`
	// Limits bound what a file may ask for; beyond them it is refused.
	Limits media.Limits `mapstructure:"limits"`
	// OnDamaged is what becomes of a video that does not decode whole: fail, or salvage what does.
	OnDamaged OnDamaged `mapstructure:"on_damaged"`
	// Tools are the programs that decode and encode.
	Tools ToolsConfig `mapstructure:"tools"`
	// DetectEvery is the number of frames from one detection to the next; the positions between are carried.
	DetectEvery int `mapstructure:"detect_every"`
	// LookAhead is how long frames are held back, so that a person seen late is masked in the frames before too.
	LookAhead time.Duration `mapstructure:"look_ahead"`
	// MaxConcurrentVideos is the number of videos worked on at once.
	MaxConcurrentVideos int `mapstructure:"max_concurrent_videos"`
	// Report says what comes beside an output, so that a person can check it.
	Report ReportConfig `mapstructure:"report"`
	// Telemetry shapes the spans, logs and metrics.
	Telemetry TelemetryConfig `mapstructure:"telemetry"`
	// Metrics switches single metrics off.
	Metrics metadata.MetricsConfig `mapstructure:"metrics"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// OnDamaged is what becomes of a video that does not decode whole.
type OnDamaged string

const (
	// OnDamagedFail refuses it.
	OnDamagedFail OnDamaged = "fail"
	// OnDamagedSalvage keeps what decodes, and reports what does not.
	OnDamagedSalvage OnDamaged = "salvage"
)

// OutputConfig says where the anonymized videos go and how they are encoded.
type OutputConfig struct {
	// Directory receives the anonymized videos. It is created if need be.
	Directory string `mapstructure:"directory"`
	// Name is the template of an output's name without its extension; {name} is the source's.
	Name string `mapstructure:"name"`
	// Container is the file format, "same" for that of the source.
	Container string `mapstructure:"container"`
	// Codec is the video codec, "same" for that of the source.
	Codec string `mapstructure:"codec"`
	// Quality is the encoder's constant rate factor: lower is better and larger. Nil is 23 for h264, and what looks alike
	// for the others.
	Quality *int `mapstructure:"quality"`
	// Preset trades speed for size, in the words of x264.
	Preset string `mapstructure:"preset"`
	// Encoder is what encodes: software, nvenc or vaapi. One that does not work is an error: nothing falls back in silence.
	Encoder string `mapstructure:"encoder"`
	// Audio is what becomes of sound: drop, copy or mute.
	Audio string `mapstructure:"audio"`
	// Keep is what else of the source gets into the output: chapters, subtitles, or names of the file's tags.
	Keep []string `mapstructure:"keep"`
	// SegmentLength is after how much of the video what was written is made safe; a crash costs the work since.
	SegmentLength time.Duration `mapstructure:"segment_length"`
	// OnSuccess is what happens to the source: keep, move or delete.
	OnSuccess watch.OnSuccess `mapstructure:"on_success"`
	// MoveTo is the folder that OnSuccess move puts sources in.
	MoveTo string `mapstructure:"move_to"`
	// QuarantineDirectory receives the sources that failed for good, each beside a file that says why. Empty leaves them
	// where they are.
	QuarantineDirectory string `mapstructure:"quarantine_directory"`
	// MinFreeSpace in MiB is to stay free on the disk; a video that would take of it is not begun. -1 begins it anyway.
	MinFreeSpace int64 `mapstructure:"min_free_space"`
	// StateDirectory remembers what is done. Empty is a hidden folder in Directory; two receivers cannot share one.
	StateDirectory string `mapstructure:"state_directory"`

	_ struct{}
}

// DetectorConfig says how people are found.
type DetectorConfig struct {
	// Model is a name in the models' catalog, or the path of an .onnx file.
	Model string `mapstructure:"model"`
	// Also are further models that find people, as for Model; what any of them finds counts. Their thresholds are the catalog's.
	Also []string `mapstructure:"also"`
	// Faces is a model that finds faces, whose people may go unseen; empty for none.
	Faces string `mapstructure:"faces"`
	// ScoreThreshold is the confidence 0..1 from which a detection counts.
	ScoreThreshold float64 `mapstructure:"score_threshold"`
	// CandidateThreshold is the confidence 0..1 from which a detection counts if a pose, a face or a track bears it out; 0
	// for none.
	CandidateThreshold float64 `mapstructure:"candidate_threshold"`
	// FaceThreshold is the confidence 0..1 from which a face counts.
	FaceThreshold float64 `mapstructure:"face_threshold"`
	// OverlapThreshold is the overlap (intersection over union, 0..1) from which two boxes are the same person.
	OverlapThreshold float64 `mapstructure:"overlap_threshold"`
	// InputSize is the size that frames are scaled to before detection.
	InputSize InputSize `mapstructure:"input_size"`
	// Tiles above 1 has frames looked at in as many overlapping parts to each side, too.
	Tiles int `mapstructure:"tiles"`
	// MinPersonSize in pixels: people whose box is smaller on its longer side are left as they are.
	MinPersonSize int `mapstructure:"min_person_size"`

	_ struct{}
}

// InputSize is the size of a model's input in pixels: both sides, the long side alone (the other then follows from
// the frame's shape), or, all zero, the model's default.
type InputSize struct {
	Width    int `mapstructure:"width"`
	Height   int `mapstructure:"height"`
	LongSide int `mapstructure:"long_side"`
}

// PoseConfig says how heads are found.
type PoseConfig struct {
	// Model is a name in the models' catalog, or the path of an .onnx file.
	Model string `mapstructure:"model"`
	// ScoreThreshold is the confidence 0..1 from which a keypoint is trusted.
	ScoreThreshold float64 `mapstructure:"score_threshold"`
	// MaxPeoplePerBatch bounds the people estimated in one inference, and with it the memory.
	MaxPeoplePerBatch int `mapstructure:"max_people_per_batch"`
	// BoxScale is how much larger than a person's box the picture is that the model sees.
	BoxScale float64 `mapstructure:"box_scale"`

	_ struct{}
}

// SegmentationConfig says how silhouettes are found.
type SegmentationConfig struct {
	// Model is a name in the models' catalog, or the path of an .onnx file.
	Model string `mapstructure:"model"`

	_ struct{}
}

// MaskConfig says how heads are covered.
type MaskConfig struct {
	// Method is heads or whitelist.
	Method mask.Method `mapstructure:"method"`
	// Shape is ellipse, circle, box or nose_disc.
	Shape mask.Shape `mapstructure:"shape"`
	// Fill is solid, mosaic or blur.
	Fill mask.Fill `mapstructure:"fill"`
	// Color fills a solid mask: "#rrggbb".
	Color string `mapstructure:"color"`
	// Scale multiplies the size of the masks.
	Scale float64 `mapstructure:"scale"`
	// OnUncertain is what to cover of a person whose head cannot be located: head_region, whole_person or whole_frame.
	OnUncertain mask.OnUncertain `mapstructure:"on_uncertain"`
	// MaxSize bounds the width and height of masks, as a fraction of the frame's shorter side; 0 does not bound them.
	MaxSize float64 `mapstructure:"max_size"`
	// Regions are parts of the frame that are always masked, or never.
	Regions []RegionConfig `mapstructure:"regions"`

	_ struct{}
}

// RegionConfig is a part of the frame that is always masked, or never.
type RegionConfig struct {
	// Polygon has its corners as [x, y], fractions 0..1 of the frame's width and height from its upper left. Empty is the whole
	// frame.
	Polygon [][]float64 `mapstructure:"polygon"`
	// Action is mask or keep.
	Action mask.Action `mapstructure:"action"`
	// From and To are the time in the video in which the region counts; a To of 0 is its end.
	From time.Duration `mapstructure:"from"`
	To   time.Duration `mapstructure:"to"`

	_ struct{}
}

// InferenceConfig says on what the models run.
type InferenceConfig struct {
	// Threads computes one inference; 0 chooses by the number of cores.
	Threads int `mapstructure:"threads"`
	// Sessions is how many inferences of a model run at once; 0 chooses by the number of cores.
	Sessions int `mapstructure:"sessions"`
	// Provider is the execution provider. One that does not work is an error: nothing falls back in silence.
	Provider string `mapstructure:"provider"`
	// ProviderOptions are the provider's own settings, such as device_id.
	ProviderOptions map[string]string `mapstructure:"provider_options"`
	// Library is the ONNX Runtime shared library; empty looks for it beside the models and the program.
	Library string `mapstructure:"library"`
	// Timeout ends an inference that hangs; its frame is masked whole. 0 waits for ever.
	Timeout time.Duration `mapstructure:"timeout"`

	_ struct{}
}

// ModelsConfig says where the models are.
type ModelsConfig struct {
	// Directory holds the catalog and the .onnx files; empty looks beside the working directory and the program.
	Directory string `mapstructure:"directory"`

	_ struct{}
}

// ToolsConfig gives the paths of the programs that decode and encode, where empty looks for them in PATH, and on what they run.
type ToolsConfig struct {
	FFmpeg  string `mapstructure:"ffmpeg"`
	FFprobe string `mapstructure:"ffprobe"`
	// Decoder is what decodes: software, cuda or vaapi. One that does not work is an error.
	Decoder string `mapstructure:"decoder"`
	// VAAPIDevice is the GPU of vaapi, for Decoder and OutputConfig.Encoder.
	VAAPIDevice string `mapstructure:"vaapi_device"`

	_ struct{}
}

// TelemetryConfig shapes the spans, logs and metrics.
type TelemetryConfig struct {
	// ServiceName is the resource attribute service.name.
	ServiceName string `mapstructure:"service_name"`
	// BatchSize is the number of spans handed on at once.
	BatchSize int `mapstructure:"batch_size"`
	// BatchInterval is the longest that a span waits for its batch to fill.
	BatchInterval time.Duration `mapstructure:"batch_interval"`
	// MaxWait is how long a pipeline that refuses a batch may hold the video back, before the batch is dropped and counted.
	MaxWait time.Duration `mapstructure:"max_wait"`
	// MetricsInterval is the time between two sets of metrics.
	MetricsInterval time.Duration `mapstructure:"metrics_interval"`
	// ResourceAttributes are added to the resource of all signals.
	ResourceAttributes map[string]any `mapstructure:"resource_attributes"`
	// SpanAttributes are added to the root span of each frame and video.
	SpanAttributes map[string]any `mapstructure:"span_attributes"`

	_ struct{}
}

// same, as a container or codec, is that of the source.
const same = "same"

var (
	containers = []string{same, "mp4", "mov", "mkv", "webm", "avi", "ts"}
	codecs     = []string{same, "h264", "h265", "vp9", "av1", "ffv1"}
	encoders   = []string{media.Software, media.NVENC, media.VAAPI}
	decoders   = []string{media.Software, media.CUDA, media.VAAPI}
	presets    = []string{"ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"}
	audio      = []string{media.SoundDrop, media.SoundCopy, media.SoundMute}
	onSuccess  = []watch.OnSuccess{watch.OnSuccessKeep, watch.OnSuccessMove, watch.OnSuccessDelete}

	// containerCodecs are the codecs that a container can hold, where it cannot hold them all.
	containerCodecs = map[string][]string{
		"mp4":  {"h264", "h265", "vp9", "av1"},
		"mov":  {"h264", "h265"},
		"webm": {"vp9", "av1", "h264"}, // h264 becomes vp9 there, so that the default fits
		"avi":  {"h264", "ffv1"},
		"ts":   {"h264", "h265"},
	}
	// encoderCodecs are the codecs that a device writes.
	encoderCodecs = map[string][]string{media.NVENC: {same, "h264", "h265", "av1"}, media.VAAPI: {same, "h264", "h265", "vp9", "av1"}}
	// maxQuality is the largest constant rate factor of each encoder. FFV1 is lossless and has none.
	maxQuality = map[string]int{"h264": 51, "h265": 51, "vp9": 63, "av1": 63, same: 51}
)

func createDefaultConfig() component.Config {
	cfg := &Config{
		Watch: watch.NewDefaultConfig(),
		Output: OutputConfig{
			Name:      "{name}_anonymized",
			Container: same,
			Codec:     "h264",
			Preset:    "veryfast",
			Encoder:   media.Software,
			OnSuccess: watch.OnSuccessKeep,

			Audio:         media.SoundDrop,
			SegmentLength: 20 * time.Second,
			MinFreeSpace:  512,
		},
		Retry: watch.DefaultRetry,
		Detector: DetectorConfig{
			Model:            "nanodet-m",
			ScoreThreshold:   0.35,
			FaceThreshold:    0.6,
			OverlapThreshold: 0.6,
		},
		Pose: PoseConfig{
			Model:             "movenet-lightning",
			ScoreThreshold:    0.2,
			MaxPeoplePerBatch: 8,
			BoxScale:          1.25,
		},
		Segmentation: SegmentationConfig{Model: "selfie-segmentation"},
		Mask: MaskConfig{
			Method:      mask.Heads,
			Shape:       mask.Ellipse,
			Fill:        mask.Solid,
			Color:       "#000000",
			Scale:       1,
			OnUncertain: mask.HeadRegion,
		},
		Inference: InferenceConfig{
			Provider: "cpu",
			Timeout:  time.Minute,
		},
		Tools:               ToolsConfig{Decoder: media.Software, VAAPIDevice: media.DefaultVAAPIDevice},
		LookAhead:           time.Second,
		MaxConcurrentVideos: 1,
		Limits:              media.DefaultLimits(),
		OnDamaged:           OnDamagedFail,
		Report:              ReportConfig{Enabled: true, ContactSheet: true, Tiles: 12, Preview: NoPreview},
		Telemetry: TelemetryConfig{
			ServiceName:     "videoanonymizer",
			BatchSize:       1024,
			BatchInterval:   time.Second,
			MaxWait:         time.Minute,
			MetricsInterval: 10 * time.Second,
		},
		Metrics: metadata.DefaultMetricsConfig(),
	}
	cfg.set(Balanced)
	return cfg
}

var (
	_ confmap.Validator   = (*Config)(nil)
	_ confmap.Unmarshaler = (*Config)(nil)
	_ confmap.Unmarshaler = (*DetectorConfig)(nil)
)

// Validate reports every error at once, each with its key and what to write instead.
func (c *Config) Validate() error {
	return errors.Join(
		oneOf("recall", c.Recall, recalls),
		inRange("detect_every", c.DetectEvery, 1, 1000, "the number of frames from one detection to the next"),
		inRange("look_ahead", c.LookAhead, time.Millisecond, 10*time.Second, "a duration such as 1s; frames wait in memory that long"),
		inRange("max_concurrent_videos", c.MaxConcurrentVideos, 1, 1024, "the number of videos worked on at once"),
		oneOf("on_damaged", c.OnDamaged, []OnDamaged{OnDamagedFail, OnDamagedSalvage}),
		within("limits", validateLimits(c.Limits)),
		within("output", c.Output.validate()),
		within("tools", c.Tools.validate()),
		within("retry", validateRetry(c.Retry)),
		within("detector", c.Detector.validate()),
		within("pose", c.Pose.validate()),
		within("segmentation", []error{validateModel(c.Segmentation.Model, "selfie-segmentation")}),
		within("mask", c.Mask.validate()),
		c.validateWhitelist(),
		within("inference", c.Inference.validate()),
		within("report", c.Report.validate()),
		within("telemetry", c.Telemetry.validate()),
	)
}

// validateWhitelist refuses what would show people between the frames in which their silhouettes are known.
func (c *Config) validateWhitelist() error {
	if c.Mask.Method != mask.Whitelist {
		return nil
	}
	var errs []error
	if c.DetectEvery > 1 {
		errs = append(errs, fmt.Errorf("detect_every: %d has no silhouettes for the frames between, which mask::method: whitelist needs: write 1, or remove it",
			c.DetectEvery))
	}
	if c.Mask.Shape == mask.NoseDisc {
		errs = append(errs, errors.New("mask::shape: nose_disc is for comparison and takes no mask::method: whitelist: write ellipse, or remove it"))
	}
	return errors.Join(errs...)
}

// within puts the block's name before the key of each of its errors.
func within(block string, errs []error) error {
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("%s::%w", block, err)
		}
	}
	return errors.Join(errs...)
}

func (c *OutputConfig) validate() []error {
	errs := []error{
		oneOf("container", c.Container, containers),
		oneOf("codec", c.Codec, codecs),
		oneOf("preset", c.Preset, presets),
		oneOf("encoder", c.Encoder, encoders),
		oneOf("audio", c.Audio, audio),
		validateKeep(c.Keep),
		inRange("segment_length", c.SegmentLength, time.Second, time.Hour, "a duration such as 20s; a crash costs that much of the video"),
		oneOf("on_success", c.OnSuccess, onSuccess),
		validateName(c.Name),
		inRange("min_free_space", c.MinFreeSpace, noSpaceCheck, 1<<30, "MiB that stay free; 0 leaves just room for the video, -1 begins it without a look"),
	}
	if c.Directory == "" {
		errs = append(errs, errors.New("directory: is required: write the folder for the anonymized videos, such as videos/anonymized"))
	}
	if can, ok := encoderCodecs[c.Encoder]; ok && slices.Contains(codecs, c.Codec) {
		switch {
		case !slices.Contains(can, c.Codec):
			errs = append(errs, fmt.Errorf("codec: %s is none that encoder %s writes: use one of %s, or encoder software",
				c.Codec, c.Encoder, strings.Join(can, ", ")))
		case c.Container == "webm" && c.Codec == "h264" && !slices.Contains(can, "vp9"):
			errs = append(errs, fmt.Errorf("codec: h264 becomes vp9 in container webm, which encoder %s does not write: use av1, or encoder software", c.Encoder))
		}
	}
	if most, ok := maxQuality[c.Codec]; ok && c.Quality != nil {
		if c.Encoder == media.NVENC {
			most = min(most, 51)
		}
		errs = append(errs, inRange("quality", *c.Quality, 0, most, "lower is better and larger; 18 to 28 is usual"))
	}
	if can, ok := containerCodecs[c.Container]; ok && slices.Contains(codecs, c.Codec) && c.Codec != same && !slices.Contains(can, c.Codec) {
		errs = append(errs, fmt.Errorf("codec: %s does not go into container %s: use %s, or container mkv",
			c.Codec, c.Container, strings.Join(can, " or ")))
	}
	switch {
	case c.OnSuccess == watch.OnSuccessMove && c.MoveTo == "":
		errs = append(errs, errors.New("move_to: is required with on_success: move: write the folder for the sources that are done"))
	case c.OnSuccess != watch.OnSuccessMove && c.MoveTo != "":
		errs = append(errs, fmt.Errorf("move_to: has no effect with on_success: %s: remove it, or write on_success: move", c.OnSuccess))
	}
	return errs
}

var tagName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_. -]*$`)

func validateKeep(keep []string) error {
	var errs []error
	for _, name := range keep {
		if !tagName.MatchString(name) {
			errs = append(errs, fmt.Errorf("keep: %q is no name: write chapters, subtitles, or the names of tags of the file, such as creation_time", name))
		}
	}
	return errors.Join(errs...)
}

func (c *ToolsConfig) validate() []error {
	errs := []error{oneOf("decoder", c.Decoder, decoders)}
	if !filepath.IsAbs(c.VAAPIDevice) || strings.ContainsAny(c.VAAPIDevice, ",\x00") {
		errs = append(errs, fmt.Errorf("vaapi_device: %q is no absolute path without a comma: write such as %s", c.VAAPIDevice, media.DefaultVAAPIDevice))
	}
	return errs
}

func validateLimits(c media.Limits) []error {
	return []error{
		inRange("width", c.MaxWidth, 16, 65535, "the widest frame in pixels"),
		inRange("height", c.MaxHeight, 16, 65535, "the highest frame in pixels"),
		inRange("pixels", c.MaxPixels, 256, 1<<32, "the largest area of a frame"),
		inRange("duration", c.MaxDuration, time.Second, 365*24*time.Hour, "the longest video, such as 48h"),
		inRange("frame_rate", c.MaxFrameRate, 1, 1e6, "in frames a second"),
		inRange("frames", c.MaxFrames, 1, 1<<40, "the most frames of a video"),
		inRange("streams", c.MaxStreams, 1, 1000, "the most streams of any kind in a file"),
		inRange("probe_timeout", c.ProbeTimeout, time.Second, time.Hour, "the longest look at a file's headers, such as 1m"),
		inRange("cpu_time", c.MaxCPUTime, time.Second, 365*24*time.Hour, "the processor time of ffmpeg for one video, such as 336h"),
		inRange("output_size", c.MaxOutput, 1, 1<<30, "in MiB"),
	}
}

func validateRetry(c watch.Retry) []error {
	return []error{
		inRange("initial_interval", c.InitialInterval, time.Millisecond, 24*time.Hour, "the wait after the first attempt, such as 10s"),
		inRange("max_interval", c.MaxInterval, max(time.Millisecond, c.InitialInterval), 7*24*time.Hour, "the longest wait, not below initial_interval, such as 30m"),
		inRange("max_attempts", c.MaxAttempts, 1, 1000, "how often a file is tried; 1 never tries again"),
	}
}

// validateName accepts {name} with text around it that stays within one file name.
func validateName(name string) error {
	const instead = `write a file name with {name} in it and no extension, such as "{name}_anonymized"`
	rest := strings.ReplaceAll(name, "{name}", "")
	switch {
	case rest == name:
		return fmt.Errorf("name: %q lacks {name}, so that all videos would get one name: %s", name, instead)
	case strings.ContainsAny(rest, "{}"):
		return fmt.Errorf("name: %q has a placeholder other than {name}: %s", name, instead)
	case strings.ContainsAny(rest, "/\\\x00\n"):
		return fmt.Errorf("name: %q leaves its folder: %s, and the folder in directory", name, instead)
	case strings.HasPrefix(name, "."):
		return fmt.Errorf("name: %q hides the file: %s", name, instead)
	}
	return nil
}

// Unmarshal reads input_size, which has three spellings; the rest is plain.
func (c *DetectorConfig) Unmarshal(conf *confmap.Conf) error {
	size := conf.Get("input_size")
	conf.Delete("input_size")
	if err := conf.Unmarshal(c); err != nil || size == nil {
		return err
	}
	var err error
	c.InputSize, err = parseInputSize(size)
	return err
}

func parseInputSize(raw any) (InputSize, error) {
	invalid := fmt.Errorf("input_size: %v: write auto, the long side such as 416, or [width, height] such as [416, 256]", raw)
	number := func(raw any) int {
		switch v := raw.(type) {
		case int:
			return v
		case string:
			if n, err := strconv.Atoi(v); err == nil {
				return n
			}
		}
		return -1
	}
	switch v := raw.(type) {
	case []any:
		if len(v) == 2 && number(v[0]) > 0 && number(v[1]) > 0 {
			return InputSize{Width: number(v[0]), Height: number(v[1])}, nil
		}
	default:
		if raw == "auto" {
			return InputSize{}, nil
		}
		if n := number(raw); n > 0 {
			return InputSize{LongSide: n}, nil
		}
	}
	return InputSize{}, invalid
}

func (c *DetectorConfig) validate() []error {
	errs := []error{
		validateModel(c.Model, "nanodet-m"),
		inRange("score_threshold", c.ScoreThreshold, 0.01, 1, "the confidence from which a person counts; lower finds more"),
		inRange("candidate_threshold", c.CandidateThreshold, 0, 1, "the confidence from which a person counts if a pose, a face or a track bears it out; 0 for none"),
		inRange("face_threshold", c.FaceThreshold, 0.01, 1, "the confidence from which a face counts"),
		inRange("tiles", c.Tiles, 1, 8, "the parts to each side of the frame that are looked at beside the whole; 1 for none"),
		inRange("min_person_size", c.MinPersonSize, 0, 10_000, "pixels; smaller people are not masked; 0 masks all"),
		inRange("overlap_threshold", c.OverlapThreshold, 0.05, 1, "the overlap from which two boxes are the same person"),
	}
	if slices.Contains(c.Also, "") {
		errs = append(errs, errors.New("also: a model is empty: write a name of the catalog such as centernet, or remove it"))
	}
	for _, side := range []int{c.InputSize.Width, c.InputSize.Height, c.InputSize.LongSide} {
		if side != 0 {
			errs = append(errs, inRange("input_size", side, 64, 4096, "pixels; 416 is the default, more finds smaller people"))
		}
	}
	return errs
}

func (c *PoseConfig) validate() []error {
	return []error{
		validateModel(c.Model, "movenet-lightning"),
		inRange("score_threshold", c.ScoreThreshold, 0.01, 1, "the confidence from which a keypoint is trusted"),
		inRange("max_people_per_batch", c.MaxPeoplePerBatch, 1, 256, "more takes more memory"),
		inRange("box_scale", c.BoxScale, 1, 3, "how much larger than a person's box the model's view is"),
	}
}

func validateModel(model, example string) error {
	if model == "" {
		return fmt.Errorf("model: is empty: write a name of the catalog such as %s, or the path of an .onnx file", example)
	}
	return nil
}

func (c *MaskConfig) validate() []error {
	errs := []error{
		oneOf("method", c.Method, mask.Methods),
		oneOf("shape", c.Shape, mask.Shapes),
		oneOf("fill", c.Fill, mask.Fills),
		oneOf("on_uncertain", c.OnUncertain, mask.OnUncertainValues),
		inRange("scale", c.Scale, 0.5, 10, "1 covers the head; below 1 parts of a face may show"),
		inRange("max_size", c.MaxSize, 0, 1, "the largest mask as a fraction of the frame's shorter side; 0 does not bound them"),
	}
	for i, region := range c.Regions {
		for _, err := range region.validate() {
			if err != nil {
				errs = append(errs, fmt.Errorf("regions[%d]::%w", i, err))
			}
		}
	}
	_, err := c.RGB()
	return append(errs, err)
}

func (c RegionConfig) validate() []error {
	for i, corner := range c.Polygon {
		if len(corner) != 2 {
			return []error{fmt.Errorf("polygon: corner %d has %d numbers: write [x, y]", i+1, len(corner))}
		}
	}
	return c.region().Validate()
}

func (c *MaskConfig) regions() (regions []mask.Region) {
	for _, r := range c.Regions {
		regions = append(regions, r.region())
	}
	return regions
}

// region is the same for the painter; corners must be pairs.
func (c RegionConfig) region() mask.Region {
	region := mask.Region{Action: c.Action, From: c.From, To: c.To}
	for _, corner := range c.Polygon {
		region.Polygon = append(region.Polygon, [2]float64(corner))
	}
	return region
}

// RGB returns the colour.
func (c *MaskConfig) RGB() (mask.RGB, error) {
	digits, found := strings.CutPrefix(c.Color, "#")
	rgb, err := hex.DecodeString(digits)
	if !found || err != nil || len(rgb) != 3 {
		return mask.RGB{}, fmt.Errorf(`color: %q is no colour: write "#rrggbb" with quotes, such as "#000000"`, c.Color)
	}
	return mask.RGB{R: rgb[0], G: rgb[1], B: rgb[2]}, nil
}

func (c *InferenceConfig) validate() []error {
	errs := []error{
		inRange("threads", c.Threads, 0, 1024, "0 chooses by the number of cores"),
		inRange("sessions", c.Sessions, 0, 1024, "0 chooses by the number of cores"),
		oneOf("provider", c.Provider, onnx.Providers),
		inRange("timeout", c.Timeout, 0, time.Hour, "a duration such as 1m, or 0 for no limit"),
	}
	if c.Provider == "cpu" && len(c.ProviderOptions) > 0 {
		errs = append(errs, errors.New("provider_options: the provider cpu takes none: remove them, or set provider"))
	}
	return errs
}

func (c *TelemetryConfig) validate() []error {
	errs := []error{
		inRange("batch_size", c.BatchSize, 1, 10_000, "the number of spans handed on at once"),
		inRange("batch_interval", c.BatchInterval, 10*time.Millisecond, time.Minute, "a duration such as 1s"),
		inRange("max_wait", c.MaxWait, 0, time.Hour, "a duration such as 1m; 0 never holds a video back"),
		inRange("metrics_interval", c.MetricsInterval, 100*time.Millisecond, time.Hour, "a duration such as 10s"),
		validateAttributes("resource_attributes", c.ResourceAttributes),
		validateAttributes("span_attributes", c.SpanAttributes),
	}
	if c.ServiceName == "" {
		errs = append(errs, errors.New("service_name: is empty: write the value of the resource attribute service.name"))
	}
	if _, twice := c.ResourceAttributes["service.name"]; twice {
		errs = append(errs, errors.New("resource_attributes: service.name is set by service_name: write it there"))
	}
	return errs
}

func validateAttributes(key string, attributes map[string]any) error {
	if _, empty := attributes[""]; empty {
		return fmt.Errorf("%s: a name is empty: remove it", key)
	}
	if err := pcommon.NewMap().FromRaw(attributes); err != nil {
		return fmt.Errorf("%s: write texts, numbers, booleans, or lists of them: %w", key, err)
	}
	return nil
}

func oneOf[T ~string](key string, value T, allowed []T) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	names := make([]string, len(allowed))
	for i, name := range allowed {
		names[i] = string(name)
	}
	return fmt.Errorf("%s: %q is not known: use one of %s", key, value, strings.Join(names, ", "))
}

// inRange refuses what lies outside least..most, and NaN.
func inRange[T int | int64 | float64 | time.Duration](key string, value, least, most T, meaning string) error {
	if value >= least && value <= most {
		return nil
	}
	return fmt.Errorf("%s: %v is out of range: write %v to %v (%s)", key, value, least, most, meaning)
}
