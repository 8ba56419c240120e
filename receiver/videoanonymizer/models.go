// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// libraryEnv names the environment variable that says which ONNX Runtime library to load.
const libraryEnv = "ONNXRUNTIME_LIBRARY"

// loadedModels are the models of a receiver, opened.
type loadedModels struct {
	detector vision.Detector
	pose     vision.PoseEstimator
	sessions []*onnx.Session
}

// openModels loads ONNX Runtime and the configured models. Every fault is reported, not only the first.
func openModels(cfg *Config) (*loadedModels, error) {
	directory, err := models.Dir(cfg.Models.Directory)
	if err != nil {
		return nil, fmt.Errorf("models::directory: %w", err)
	}
	library := cmp.Or(cfg.Inference.Library, os.Getenv(libraryEnv), models.RuntimeLibrary(directory))
	if err := onnx.Initialize(library); err != nil {
		return nil, fmt.Errorf("%w (run `make models`, or set inference::library or %s to the path of libonnxruntime.so)", err, libraryEnv)
	}
	loaded := &loadedModels{}
	open := func(key, name string, task models.Task) (*onnx.Session, string, error) {
		path, family, err := resolveModel(directory, name, task)
		if err != nil {
			return nil, "", fmt.Errorf("%s::model: %w", key, err)
		}
		session, err := onnx.Open(path, sessionOptions(cfg))
		if err != nil {
			return nil, "", fmt.Errorf("%s::model: %w", key, err)
		}
		loaded.sessions = append(loaded.sessions, session)
		return session, family, nil
	}
	err = errors.Join(func() error {
		session, family, err := open("detector", cfg.Detector.Model, models.PersonDetection)
		if err == nil {
			loaded.detector, err = vision.NewDetector(family, session, vision.DetectorOptions{
				ScoreThreshold:   float32(cfg.Detector.ScoreThreshold),
				OverlapThreshold: float32(cfg.Detector.OverlapThreshold),
				LongSide:         cfg.Detector.InputSize.LongSide,
				Width:            cfg.Detector.InputSize.Width,
				Height:           cfg.Detector.InputSize.Height,
			})
		}
		return err
	}(), func() error {
		session, family, err := open("pose", cfg.Pose.Model, models.PoseEstimation)
		if err == nil {
			loaded.pose, err = vision.NewPoseEstimator(family, session, vision.PoseOptions{
				MaxPeoplePerBatch: cfg.Pose.MaxPeoplePerBatch,
				BoxScale:          float32(cfg.Pose.BoxScale),
			})
		}
		return err
	}())
	if err != nil {
		return nil, errors.Join(err, loaded.close())
	}
	return loaded, nil
}

func (m *loadedModels) close() error {
	var errs []error
	for _, session := range m.sessions {
		errs = append(errs, session.Close())
	}
	return errors.Join(errs...)
}

// sessionOptions spreads the cores. On the processor many single-threaded inferences side by side do more than one at a time
// with many threads; an accelerator takes one at a time.
func sessionOptions(cfg *Config) onnx.Options {
	return onnx.Options{
		Threads:         max(1, cfg.Inference.Threads),
		Parallel:        parallelInferences(cfg),
		Provider:        cfg.Inference.Provider,
		ProviderOptions: cfg.Inference.ProviderOptions,
		Timeout:         cfg.Inference.Timeout,
	}
}

func parallelInferences(cfg *Config) int {
	if cfg.Inference.Sessions > 0 {
		return cfg.Inference.Sessions
	}
	return max(1, runtime.NumCPU()/max(1, cfg.Inference.Threads))
}

// resolveModel finds a model's file and, for one of the catalog, its family. What is not in the catalog must be a path.
func resolveModel(directory, name string, task models.Task) (path, family string, err error) {
	if strings.ContainsRune(name, filepath.Separator) || filepath.Ext(name) == ".onnx" {
		if _, err := os.Stat(name); err != nil {
			return "", "", fmt.Errorf("%w: %w", onnx.ErrModel, err)
		}
		return name, "", nil
	}
	catalog, err := models.Load()
	if err != nil {
		return "", "", err
	}
	model, err := catalog.Lookup(name)
	if err != nil {
		return "", "", fmt.Errorf("%w (or write the path of an .onnx file)", err)
	}
	if model.Task != task {
		return "", "", fmt.Errorf("%s is a model for %s, but one for %s is needed", name, model.Task, task)
	}
	path = model.Path(directory)
	if err := model.Verify(path); err != nil {
		return "", "", err
	}
	return path, model.Family, nil
}
