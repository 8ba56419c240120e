// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/inference"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// libraryEnv is the environment variable that gives the path of the ONNX Runtime library.
const libraryEnv = "ONNXRUNTIME_LIBRARY"

// Models are the configured models, opened.
type Models struct {
	detector  vision.Detector
	faces     vision.FaceDetector // nil if not configured
	pose      vision.PoseEstimator
	segmenter vision.Segmenter // nil with method heads
	sessions  []inference.Session
	used      []report.Model
}

// CheckModels tells whether OpenModels has what it needs: ONNX Runtime, its execution provider, and each model's
// file. It opens no model, which would take seconds, and memory of a GPU that a running collector uses. It reports
// every error, each with its key.
func CheckModels(cfg *config.Config) error {
	directory, err := openRuntime(cfg)
	if directory == "" {
		return err
	}
	errs := []error{err}
	if err == nil {
		if err := onnx.CheckProvider(sessionOptions(cfg)); err != nil {
			errs = append(errs, fmt.Errorf("inference::provider: %w", err))
		}
	}
	check := func(key, name string) {
		if err := verifyModel(directory, name); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	detector := rolesOf(cfg.Detector)
	if detector.Model != "" {
		check("detector::model", detector.Model)
	}
	for _, name := range detector.Also {
		check("detector::also", name)
	}
	if detector.Faces != "" {
		check("detector::faces", detector.Faces)
	}
	check("pose::model", cfg.Pose.Model)
	if cfg.Mask.Method == mask.Whitelist {
		check("segmentation::model", cfg.Segmentation.Model)
	}
	return errors.Join(errs...)
}

// openRuntime loads ONNX Runtime, and returns the models' directory, or "" if there is none.
func openRuntime(cfg *config.Config) (directory string, err error) {
	directory, err = models.Dir(cfg.Models.Directory)
	if err != nil {
		return "", fmt.Errorf("models::directory: %w", err)
	}
	library := cmp.Or(cfg.Inference.Library, os.Getenv(libraryEnv), models.RuntimeLibrary(directory))
	if err := onnx.Initialize(library); err != nil {
		return directory, fmt.Errorf("inference::library: %w (run `make models`, or set inference::library or %s "+
			"to the path of libonnxruntime.so)", err, libraryEnv)
	}
	return directory, nil
}

// rolesOf moves a model that finds faces from detector::model to where faces are found: people who show no face are
// then not detected.
func rolesOf(detector config.Detector) config.Detector {
	if taskOf(detector.Model) == models.FaceDetection {
		detector.Faces, detector.Model = detector.Model, ""
	}
	return detector
}

// OpenModels loads ONNX Runtime and the configured models, which CheckModels has verified. It reports every error,
// each with its key, not only the first.
func OpenModels(cfg *config.Config) (*Models, error) {
	directory, err := openRuntime(cfg)
	if err != nil {
		return nil, err
	}
	loaded, detector := &Models{}, rolesOf(cfg.Detector)
	open := func(key, name string) (inference.Session, models.Model, error) {
		path, model, err := findModel(directory, name)
		if err != nil {
			return nil, model, fmt.Errorf("%s: %w", key, err)
		}
		session, err := onnx.Open(path, sessionOptions(cfg))
		if err != nil {
			return nil, model, fmt.Errorf("%s: %w", key, err)
		}
		loaded.sessions = append(loaded.sessions, session)
		file, err := report.Identify(context.Background(), path)
		loaded.used = append(loaded.used, report.Model{Key: key, Name: cmp.Or(model.Name, file.Name), SHA256: file.SHA256})
		return session, model, err
	}
	err = errors.Join(
		loaded.openDetectors(detector, open),
		loaded.openFaces(detector, open),
		loaded.openPose(cfg.Pose, open),
		loaded.openSegmenter(cfg, open),
	)
	if err != nil {
		return nil, errors.Join(err, loaded.Close())
	}
	return loaded, nil
}

type openFunc func(key, name string) (inference.Session, models.Model, error)

func (m *Models) openDetectors(cfg config.Detector, open openFunc) error {
	var detectors []vision.Detector
	add := func(key, name string, opts func(models.Model) vision.DetectorOptions) error {
		session, model, err := open(key, name)
		if err != nil {
			return err
		}
		detector, err := vision.NewDetector(model.Family, session, opts(model))
		detectors = append(detectors, detector)
		return err
	}
	var err error
	if cfg.Model != "" {
		err = add("detector::model", cfg.Model, func(models.Model) vision.DetectorOptions {
			return vision.DetectorOptions{
				ScoreThreshold:     float32(cfg.ScoreThreshold),
				CandidateThreshold: float32(cfg.CandidateThreshold),
				OverlapThreshold:   float32(cfg.OverlapThreshold),
				LongSide:           cfg.InputSize.LongSide,
				Width:              cfg.InputSize.Width,
				Height:             cfg.InputSize.Height,
				Tiles:              cfg.Tiles,
			}
		})
	}
	for _, name := range cfg.Also {
		err = errors.Join(err, add("detector::also", name, func(model models.Model) vision.DetectorOptions {
			return vision.DetectorOptions{
				ScoreThreshold:   cmp.Or(model.Thresholds.Score, float32(cfg.ScoreThreshold)),
				OverlapThreshold: float32(cfg.OverlapThreshold),
				Tiles:            cfg.Tiles,
			}
		}))
	}
	if err != nil {
		return err
	}
	m.detector = vision.NewUnion(detectors, float32(cfg.OverlapThreshold), float32(cfg.MinPersonSize))
	return nil
}

// faceOverlap is the overlap (intersection over union) from which two boxes are the same face; the value is from
// BlazeFace's authors.
const faceOverlap = 0.3

func (m *Models) openFaces(cfg config.Detector, open openFunc) error {
	if cfg.Faces == "" {
		return nil
	}
	session, model, err := open("detector::faces", cfg.Faces)
	if err == nil {
		m.faces, err = vision.NewFaceDetector(model.Family, session, vision.FaceOptions{
			ScoreThreshold:   float32(cfg.FaceThreshold),
			OverlapThreshold: faceOverlap,
			Tiles:            cfg.Tiles,
		})
	}
	return err
}

func (m *Models) openPose(cfg config.Pose, open openFunc) error {
	session, model, err := open("pose::model", cfg.Model)
	if err == nil {
		m.pose, err = vision.NewPoseEstimator(model.Family, session, vision.PoseOptions{
			MaxPeoplePerBatch: cfg.MaxPeoplePerBatch,
			BoxScale:          float32(cfg.BoxScale),
		})
	}
	return err
}

// silhouetteScore is the probability from which a pixel belongs to a person. It is below one half: in doubt, it does.
const silhouetteScore = 0.3

func (m *Models) openSegmenter(cfg *config.Config, open openFunc) error {
	if cfg.Mask.Method != mask.Whitelist {
		return nil
	}
	session, model, err := open("segmentation::model", cfg.Segmentation.Model)
	if err == nil {
		m.segmenter, err = vision.NewSegmenter(model.Family, session, vision.SegmenterOptions{
			ScoreThreshold:    silhouetteScore,
			MaxPeoplePerBatch: cfg.Pose.MaxPeoplePerBatch,
			BoxScale:          float32(cfg.Pose.BoxScale),
		})
	}
	return err
}

// Close frees the models.
func (m *Models) Close() error {
	var errs []error
	for _, session := range m.sessions {
		errs = append(errs, session.Close())
	}
	return errors.Join(errs...)
}

// sessionOptions distributes the cores. On a CPU, many single-threaded inferences in parallel do more than one at a
// time with many threads; an accelerator takes one at a time.
func sessionOptions(cfg *config.Config) onnx.Options {
	return onnx.Options{
		Threads:         max(1, cfg.Inference.Threads),
		Parallel:        parallelInferences(cfg),
		Provider:        cfg.Inference.Provider,
		ProviderOptions: cfg.Inference.ProviderOptions,
		Timeout:         cfg.Inference.Timeout,
	}
}

func parallelInferences(cfg *config.Config) int {
	if cfg.Inference.Sessions > 0 {
		return cfg.Inference.Sessions
	}
	return max(1, runtime.NumCPU()/max(1, cfg.Inference.Threads))
}

// taskOf returns the task of a model from the catalog; empty for others.
func taskOf(name string) models.Task {
	catalog, err := models.Load()
	if err != nil {
		return ""
	}
	model, err := catalog.Lookup(name)
	if err != nil {
		return ""
	}
	return model.Task
}

// findModel returns where a model's file belongs and, if it is in the catalog, its entry.
func findModel(directory, name string) (path string, model models.Model, err error) {
	if config.IsModelPath(name) {
		return name, model, nil
	}
	catalog, err := models.Load()
	if err == nil {
		model, err = catalog.Lookup(name)
	}
	return model.Path(directory), model, err
}

// verifyModel tells whether a model's file is there, and is that of the catalog.
func verifyModel(directory, name string) error {
	path, model, err := findModel(directory, name)
	if err != nil {
		return err
	}
	if model.Name != "" {
		return model.Verify(path)
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%w: there is no file at %s: write the path of an .onnx file, or a name from the catalog",
			inference.ErrModel, path)
	}
	return nil
}
