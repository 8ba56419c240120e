// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/confmap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
)

// Detector configures how people are found.
type Detector struct {
	// Model is a name from the models' catalog, or the path of an .onnx file.
	Model string `mapstructure:"model"`
	// Also lists more models that find people, written like Model. A person counts if any of them finds them. The
	// thresholds of these models come from the catalog.
	Also []string `mapstructure:"also"`
	// Faces is a model that finds faces, so that undetected people whose face shows are masked, too; empty for none.
	Faces string `mapstructure:"faces"`
	// ScoreThreshold is the minimum confidence 0..1 of a detection.
	ScoreThreshold float64 `mapstructure:"score_threshold"`
	// BlurredThreshold replaces ScoreThreshold in blurred frames, if it is lower.
	BlurredThreshold float64 `mapstructure:"blurred_threshold"`
	// CandidateThreshold is the minimum confidence 0..1 of a detection that a pose, a face or a track confirms; 0 for
	// none.
	CandidateThreshold float64 `mapstructure:"candidate_threshold"`
	// FaceThreshold is the minimum confidence 0..1 of a face.
	FaceThreshold float64 `mapstructure:"face_threshold"`
	// OverlapThreshold is the minimum overlap (intersection over union, 0..1) of two boxes of the same person.
	OverlapThreshold float64 `mapstructure:"overlap_threshold"`
	// InputSize is the size that frames are scaled to before detection.
	InputSize InputSize `mapstructure:"input_size"`
	// Tiles above 1 also analyzes each frame in that number of overlapping tiles per side.
	Tiles int `mapstructure:"tiles"`
	// MinPersonSize in pixels: people whose box is smaller on its longer side are not masked.
	MinPersonSize int `mapstructure:"min_person_size"`
	// Survey finds people whom the usual detection misses.
	Survey Survey `mapstructure:"survey"`

	_ struct{}
}

// Survey configures surveys: harder looks at some frames. Where a survey finds someone whom the usual detection misses,
// the frames around it are searched as hard.
type Survey struct {
	Enabled bool `mapstructure:"enabled"`
	// Interval is the presentation time from one survey to the next; 0 surveys every analyzed frame.
	Interval time.Duration `mapstructure:"interval"`
	// Models are the models that find people in surveys, written like Detector.Model; at least one.
	Models []string `mapstructure:"models"`
	// Faces is a model that finds faces in surveys, so that people in crowds of whom only the face shows are masked, too;
	// empty for none.
	Faces string `mapstructure:"faces"`
	// Turned also searches the frame turned by 90, 180 and 270 degrees.
	Turned bool `mapstructure:"turned"`

	_ struct{}
}

// InputSize is the size of a model's input in pixels: both sides, only the long side (the other then follows from the
// frame's aspect ratio), or, all zero, the model's default.
type InputSize struct {
	Width    int `mapstructure:"width"`
	Height   int `mapstructure:"height"`
	LongSide int `mapstructure:"long_side"`
}

// Pose configures how heads are found.
type Pose struct {
	// Model is a name from the models' catalog, or the path of an .onnx file.
	Model string `mapstructure:"model"`
	// ScoreThreshold is the minimum confidence 0..1 of a keypoint to be trusted.
	ScoreThreshold float64 `mapstructure:"score_threshold"`
	// MaxPeoplePerBatch bounds the number of people per inference, and thereby the memory.
	MaxPeoplePerBatch int `mapstructure:"max_people_per_batch"`
	// BoxScale is the size of the model's crop relative to the person's box.
	BoxScale float64 `mapstructure:"box_scale"`

	_ struct{}
}

// Segmentation configures how silhouettes are found.
type Segmentation struct {
	// Model is a name from the models' catalog, or the path of an .onnx file.
	Model string `mapstructure:"model"`

	_ struct{}
}

// Inference selects what the models run on.
type Inference struct {
	// Threads is the number of threads per inference; 0 means 1.
	Threads int `mapstructure:"threads"`
	// Sessions is the number of inferences of a model that run at once; 0 chooses by the number of cores.
	Sessions int `mapstructure:"sessions"`
	// Provider is the execution provider. One that does not work is an error, never a silent fallback.
	Provider string `mapstructure:"provider"`
	// ProviderOptions are the provider's own settings, such as device_id.
	ProviderOptions map[string]string `mapstructure:"provider_options"`
	// Library is the ONNX Runtime shared library; empty looks for it next to the models and the program.
	Library string `mapstructure:"library"`
	// Timeout ends an inference that hangs; its frame is then masked completely. 0 waits forever.
	Timeout time.Duration `mapstructure:"timeout"`
	// Remote runs models on servers instead.
	Remote Remote `mapstructure:"remote"`

	_ struct{}
}

// Models locates the models.
type Models struct {
	// Directory holds the catalog and the .onnx files; empty looks in the working directory and next to the program.
	Directory string `mapstructure:"directory"`

	_ struct{}
}

func defaultDetector() Detector {
	return Detector{Model: "nanodet-m", ScoreThreshold: 0.35, BlurredThreshold: 0.2, FaceThreshold: 0.6,
		OverlapThreshold: 0.6,
		Survey:           Survey{Models: []string{"movenet-multipose"}, Faces: "facemesh-detection-full", Turned: true}}
}

func defaultPose() Pose {
	return Pose{Model: "movenet-lightning", ScoreThreshold: 0.2, MaxPeoplePerBatch: 8, BoxScale: 1.25}
}

// Unmarshal reads input_size, which has three spellings, and everything else as usual.
func (c *Detector) Unmarshal(conf *confmap.Conf) error {
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
	switch v := raw.(type) {
	case []any:
		if len(v) == 2 && pixels(v[0]) > 0 && pixels(v[1]) > 0 {
			return InputSize{Width: pixels(v[0]), Height: pixels(v[1])}, nil
		}
	default:
		if raw == "auto" {
			return InputSize{}, nil
		}
		if n := pixels(raw); n > 0 {
			return InputSize{LongSide: n}, nil
		}
	}
	return InputSize{}, fmt.Errorf("input_size: %v: write auto, the long side such as 416, or [width, height] "+
		"such as [416, 256]", raw)
}

// pixels reads a number, which is a string if it comes from an environment variable. It returns -1 for anything else.
func pixels(raw any) int {
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

func (c *Detector) validate() []error {
	errs := []error{
		validateModel("model", c.Model, models.PersonDetection, models.FaceDetection),
		inRange("score_threshold", c.ScoreThreshold, 0.01, 1, "the minimum confidence for a person; lower finds more"),
		inRange("blurred_threshold", c.BlurredThreshold, 0.01, 1,
			"the minimum confidence for a person in a blurred frame; score_threshold applies if it is lower"),
		inRange("candidate_threshold", c.CandidateThreshold, 0, 1,
			"the minimum confidence for a person that a pose, a face or a track confirms; 0 for none"),
		inRange("face_threshold", c.FaceThreshold, 0.01, 1, "the minimum confidence for a face"),
		inRange("tiles", c.Tiles, 1, 8, "tiles per side that are analyzed in addition to the whole frame; 1 for none"),
		inRange("min_person_size", c.MinPersonSize, 0, 10_000, "pixels; smaller people are not masked; 0 masks all"),
		inRange("overlap_threshold", c.OverlapThreshold, 0.05, 1, "the minimum overlap for two boxes to be the same person"),
	}
	if c.Faces != "" {
		errs = append(errs, validateModel("faces", c.Faces, models.FaceDetection))
	}
	errs = append(errs, validateModels("also", c.Also)...)
	errs = append(errs, validateModels("survey::models", c.Survey.Models)...)
	if c.Survey.Enabled && len(c.Survey.Models) == 0 {
		errs = append(errs, errors.New("survey::models: is empty: name a model such as movenet-multipose, "+
			"or write survey::enabled: false"))
	}
	if c.Survey.Faces != "" {
		errs = append(errs, validateModel("survey::faces", c.Survey.Faces, models.FaceDetection))
	}
	errs = append(errs, inRange("survey::interval", c.Survey.Interval, 0, 10*time.Second,
		"a duration such as 2s; 0s surveys every analyzed frame"))
	for _, side := range []int{c.InputSize.Width, c.InputSize.Height, c.InputSize.LongSide} {
		if side != 0 {
			errs = append(errs, inRange("input_size", side, 64, 4096, "pixels, 416 by default; more finds smaller people"))
		}
	}
	return errs
}

// validateModels accepts only models that find people.
func validateModels(key string, names []string) (errs []error) {
	for _, name := range names {
		if name == "" {
			errs = append(errs, fmt.Errorf("%s: a model name is empty: write a name from the catalog such as centernet, "+
				"or remove it", key))
		} else {
			errs = append(errs, validateModel(key, name, models.PersonDetection))
		}
	}
	return errs
}

func (c *Pose) validate() []error {
	return []error{
		validateModel("model", c.Model, models.PoseEstimation),
		inRange("score_threshold", c.ScoreThreshold, 0.01, 1, "the minimum confidence for a keypoint to be trusted"),
		inRange("max_people_per_batch", c.MaxPeoplePerBatch, 1, 256, "more takes more memory"),
		inRange("box_scale", c.BoxScale, 1, 3, "the size of the model's crop relative to the person's box"),
	}
}

// validateModel accepts any path, and names from the catalog whose model is for one of the tasks. It does not check
// whether the file exists: a configuration may be written on another machine.
func validateModel(key, model string, tasks ...models.Task) error {
	if IsModelPath(model) {
		return nil
	}
	catalog, err := models.Load()
	if err != nil {
		return err
	}
	wrong := fmt.Sprintf("%q is not known", model)
	if model == "" {
		wrong = "is empty"
	}
	var fitting []string
	for _, m := range catalog.Models {
		fits := slices.Contains(tasks, m.Task)
		switch {
		case fits && m.Name == model:
			return nil
		case fits:
			fitting = append(fitting, m.Name)
		case m.Name == model:
			wrong = fmt.Sprintf("%s is a model for %s", model, m.Task)
		}
	}
	return fmt.Errorf("%s: %s: use one of %s, or the path of an .onnx file", key, wrong, strings.Join(fitting, ", "))
}

// IsModelPath reports whether model is the path of a model file, rather than a name in the catalog.
func IsModelPath(model string) bool {
	return strings.ContainsRune(model, filepath.Separator) || filepath.Ext(model) == ".onnx"
}

func (c *Inference) validate() []error {
	errs := []error{
		inRange("threads", c.Threads, 0, 1024, "0 means 1"),
		inRange("sessions", c.Sessions, 0, 1024, "0 chooses by the number of cores"),
		oneOf("provider", c.Provider, onnx.Providers),
		inRange("timeout", c.Timeout, 0, time.Hour, "a duration such as 1m, or 0 for no limit"),
	}
	if c.Provider == "cpu" && len(c.ProviderOptions) > 0 {
		errs = append(errs, errors.New("provider_options: the cpu provider has none: remove them, or set provider"))
	}
	return append(errs, within("remote", c.Remote.validate())...)
}
