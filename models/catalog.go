// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package models

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed catalog.yaml
var catalogYAML []byte

// Catalog describes every model the product knows, and the runtime that executes them.
type Catalog struct {
	Runtime Runtime `yaml:"runtime"`
	Models  []Model `yaml:"models"`
}

// Runtime is the ONNX Runtime shared library, as Microsoft publishes it on npm.
type Runtime struct {
	Name      string    `yaml:"name"`
	Version   string    `yaml:"version"`
	License   string    `yaml:"license"`
	Package   string    `yaml:"package"` // npm name@version
	Libraries []Library `yaml:"libraries"`
	GPU       []GPU     `yaml:"gpu"`
}

// GPU is a build of the runtime for a kind of GPU, as Microsoft publishes it on PyPI. Its core and providers belong
// together; they do not work with those of another build.
type GPU struct {
	Name     string    `yaml:"name"`     // the folder below lib
	Platform string    `yaml:"platform"` // GOOS/GOARCH
	Package  string    `yaml:"package"`  // PyPI name==version; the version is the runtime's
	Wheel    string    `yaml:"wheel"`    // file name
	SHA256   string    `yaml:"sha256"`   // hash of the wheel
	Files    []GPUFile `yaml:"files"`
}

// GPUFile is one file of a wheel.
type GPUFile struct {
	From   string `yaml:"from"` // inside the wheel
	To     string `yaml:"to"`   // name in the folder
	SHA256 string `yaml:"sha256"`
}

// Library is the runtime's shared library for one platform.
type Library struct {
	Platform string `yaml:"platform"` // GOOS/GOARCH
	File     string `yaml:"file"`     // inside the package
	SHA256   string `yaml:"sha256"`
}

// Task is what a model does.
type Task string

// The tasks that the pipeline knows.
const (
	PersonDetection Task = "person_detection"
	PoseEstimation  Task = "pose_estimation"
	FaceDetection   Task = "face_detection"
	Segmentation    Task = "segmentation"
	ScreenDetection Task = "screen_detection"
)

// Model is one entry of the catalog.
type Model struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	Family      string `yaml:"family"` // models of a family share pre- and post-processing
	Task        Task   `yaml:"task"`
	License     string `yaml:"license"`
	Upstream    string `yaml:"upstream"`
	// Default models are fetched when no model is named.
	Default bool `yaml:"default"`
	// OptIn, if not empty, is the reason why the user must request this model by name.
	OptIn string `yaml:"opt_in"`
	// File is the name of the model's file in the models directory.
	File string `yaml:"file"`
	// SHA256 is the hash of File, in hex; empty if unknown, as for models fetched by URL.
	SHA256     string     `yaml:"sha256"`
	Source     Source     `yaml:"source"`
	Inputs     []Tensor   `yaml:"inputs"`
	Outputs    []Tensor   `yaml:"outputs"`
	InputSize  Size       `yaml:"input_size"` // default for models whose height and width are free
	Thresholds Thresholds `yaml:"thresholds"`
}

// Formats of a model's source.
const (
	FormatONNX = "onnx" // used as is
	FormatTFJS = "tfjs" // a TensorFlow.js graph model, which is converted
)

// Source says where a model comes from: a file in an npm package, a URL, or neither (the user supplies the file).
type Source struct {
	Package string            `yaml:"package"` // npm name@version, with an entry in package-lock.json
	File    string            `yaml:"file"`    // inside the package
	URL     string            `yaml:"url"`
	SHA256  string            `yaml:"sha256"`
	Weights map[string]string `yaml:"weights"` // additional files inside the package, with their SHA-256
	Format  string            `yaml:"format"`
}

// Tensor is the contract of one input or output.
type Tensor struct {
	Name     string     `yaml:"name"`
	Type     string     `yaml:"type"` // uint8, int64, or float32
	Shape    []Dim      `yaml:"shape"`
	Layout   string     `yaml:"layout"` // NHWC or NCHW; images only
	Color    string     `yaml:"color"`  // RGB or BGR; images only
	Range    [2]float32 `yaml:"range"`  // of an image's values, before mean and deviation
	Mean     []float32  `yaml:"mean"`   // what the caller must subtract from each channel; empty: nothing
	Std      []float32  `yaml:"std"`    // what the caller must then divide each channel by; empty: nothing
	Meaning  string     `yaml:"meaning"`
	Optional bool       `yaml:"optional"` // missing in some exports of this model
	// MultipleOf is the number of which a free height and width must be multiples; 0 means 1.
	MultipleOf int `yaml:"multiple_of"`
}

// Dim is one dimension: fixed (Size > 0), or free (Size == -1) and named.
type Dim struct {
	Size int64
	Name string
}

// UnmarshalYAML reads a number as a fixed dimension and a word as a free dimension.
func (d *Dim) UnmarshalYAML(node *yaml.Node) error {
	n, err := strconv.ParseInt(node.Value, 10, 64)
	if err != nil {
		*d = Dim{Size: -1, Name: node.Value}
		return nil
	}
	if n < 1 {
		return fmt.Errorf("line %d: dimension %d must be positive", node.Line, n)
	}
	*d = Dim{Size: n}
	return nil
}

// Free reports whether the caller chooses the dimension.
func (d Dim) Free() bool { return d.Size < 0 }

func (d Dim) String() string {
	if d.Free() {
		return d.Name
	}
	return strconv.FormatInt(d.Size, 10)
}

// Size is an image's size in pixels.
type Size struct {
	Width  int `yaml:"width"`
	Height int `yaml:"height"`
}

// Thresholds are a model's default thresholds.
type Thresholds struct {
	Score   float32 `yaml:"score"`   // 0..1; results below it are dropped
	Overlap float32 `yaml:"overlap"` // 0..1; intersection over union above which the weaker of two boxes is dropped
}

// Load reads the catalog embedded in this package.
func Load() (*Catalog, error) {
	c, err := parse(catalogYAML)
	if err != nil {
		return nil, fmt.Errorf("catalog.yaml: %w", err)
	}
	return c, nil
}

func parse(text []byte) (*Catalog, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var c Catalog
	if err := decoder.Decode(&c); err != nil {
		return nil, err
	}
	return &c, c.validate()
}

func (c *Catalog) validate() error {
	var errs []error
	seen := map[string]bool{}
	for _, m := range c.Models {
		if seen[m.Name] {
			errs = append(errs, fmt.Errorf("model %q is listed twice: rename one of them", m.Name))
		}
		seen[m.Name] = true
		for _, err := range m.validate() {
			errs = append(errs, fmt.Errorf("model %q: %w", m.Name, err))
		}
	}
	for _, l := range c.Runtime.Libraries {
		if !isSHA256(l.SHA256) {
			errs = append(errs, fmt.Errorf("runtime: sha256 for %s must be 64 hex digits", l.Platform))
		}
	}
	for _, g := range c.Runtime.GPU {
		if _, version, _ := strings.Cut(g.Package, "=="); version != c.Runtime.Version {
			errs = append(errs, fmt.Errorf("runtime: gpu %s: package %s must have the runtime's version, %s", g.Name, g.Package,
				c.Runtime.Version))
		}
		if !isSHA256(g.SHA256) {
			errs = append(errs, fmt.Errorf("runtime: gpu %s: sha256 must be 64 hex digits", g.Name))
		}
		for _, f := range g.Files {
			if !isSHA256(f.SHA256) || filepath.Base(f.To) != f.To {
				errs = append(errs, fmt.Errorf("runtime: gpu %s: %q needs a plain name and a sha256 of 64 hex digits", g.Name,
					f.To))
			}
		}
	}
	return errors.Join(errs...)
}

func (m Model) validate() []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if m.Name == "" {
		bad("name is empty")
	}
	switch m.Task {
	case PersonDetection, PoseEstimation, FaceDetection, Segmentation, ScreenDetection:
	default:
		bad("task %q must be %s, %s, %s, %s or %s", m.Task, PersonDetection, PoseEstimation, FaceDetection, Segmentation,
			ScreenDetection)
	}
	if m.Family == "" || m.License == "" || m.Upstream == "" {
		bad("family, license and upstream must be set")
	}
	if filepath.Base(m.File) != m.File || filepath.Ext(m.File) != ".onnx" {
		bad("file %q must be a plain file name ending in .onnx", m.File)
	}
	if m.Default && m.OptIn != "" {
		bad("default and opt_in are mutually exclusive: drop one")
	}
	switch m.Source.Format {
	case FormatONNX, FormatTFJS:
	default:
		bad("source.format %q must be %s or %s", m.Source.Format, FormatONNX, FormatTFJS)
	}
	if m.Source.Package != "" && (m.Source.File == "" || !isSHA256(m.Source.SHA256)) {
		bad("source.package needs source.file and source.sha256")
	}
	for file, sum := range m.Source.Weights {
		if !isSHA256(sum) {
			bad("source.weights: %s needs a sha256 of 64 hex digits", file)
		}
	}
	if m.SHA256 != "" && !isSHA256(m.SHA256) {
		bad("sha256 %q must be 64 hex digits", m.SHA256)
	}
	if len(m.Inputs) == 0 || len(m.Outputs) == 0 {
		bad("inputs and outputs must be set")
	}
	for _, t := range append(append([]Tensor(nil), m.Inputs...), m.Outputs...) {
		switch t.Type {
		case "uint8", "int64", "float32":
		default:
			bad("tensor %q: type %q must be uint8, int64 or float32", t.Name, t.Type)
		}
		if t.Name == "" || len(t.Shape) == 0 {
			bad("tensor %q: name and shape must be set", t.Name)
		}
	}
	if m.InputSize.Width < 1 || m.InputSize.Height < 1 {
		bad("input_size must be set")
	}
	if s := m.Thresholds; s.Score <= 0 || s.Score >= 1 || s.Overlap < 0 || s.Overlap >= 1 {
		bad("thresholds must be between 0 and 1")
	}
	return errs
}

func isSHA256(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == sha256.Size
}

// Lookup returns the model with this name. The error lists the known names.
func (c *Catalog) Lookup(name string) (Model, error) {
	names := make([]string, 0, len(c.Models))
	for _, m := range c.Models {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Model{}, fmt.Errorf("unknown model %q: use one of %s", name, strings.Join(names, ", "))
}

// Path returns the path of the model's file in a models directory.
func (m Model) Path(dir string) string { return filepath.Join(dir, m.File) }

// Verify compares the hash of the file at path with the one in the catalog. A model without a known hash only has to
// exist. The errors say what to do.
func (m Model) Verify(path string) error {
	sum, err := fileSHA256(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("model %s is missing at %s: run `make models`%s: %w", m.Name, path, m.byName(), err)
	}
	if err != nil {
		return fmt.Errorf("model %s: %w", m.Name, err)
	}
	if m.SHA256 != "" && sum != m.SHA256 {
		return fmt.Errorf("model %s at %s is not the file this program was built for "+
			"(sha256 %s, expected %s): run `make models`%s",
			m.Name, path, sum, m.SHA256, m.byName())
	}
	return nil
}

// byName returns a hint, for a model outside the default set, with the argument that makes `make models` fetch it.
func (m Model) byName() string {
	if m.Default {
		return ""
	}
	return fmt.Sprintf(" (`make models MODELS=%s`)", m.Name)
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
