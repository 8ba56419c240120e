// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/telemetry"
)

// Input sizes of the models with the receiver's defaults: NanoDet gets a 1080p frame with its long side scaled to 416,
// MoveNet crops of 192x192 in batches of at most 8, and BlazeFace the frame scaled to fit 256x256.
const (
	detectorWidth, detectorHeight = 416, 256
	poseSize, poseBatch           = 192, 8
	faceSize                      = 256
)

// measureInference repeats the inferences that the spans report, with the same shapes, in ONNX Runtime alone on one
// thread. It returns the CPU time.
func measureInference(ctx context.Context, spans telemetry.Spans) (used time.Duration, err error) {
	dir := filepath.Join(collector.Root(), "models")
	ort.SetSharedLibraryPath(models.RuntimeLibrary(dir))
	if err := ort.InitializeEnvironment(); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, ort.DestroyEnvironment()) }()
	detector, err := openModel(filepath.Join(dir, "nanodet-m.onnx"), detectorHeight, detectorWidth)
	if err != nil {
		return 0, err
	}
	defer detector.Destroy()
	pose, err := openModel(filepath.Join(dir, "movenet-lightning.onnx"), poseSize, poseSize)
	if err != nil {
		return 0, err
	}
	defer pose.Destroy()

	faces, err := openModel(filepath.Join(dir, "blazeface.onnx"), faceSize, faceSize)
	if err != nil {
		return 0, err
	}
	defer faces.Destroy()

	// Warm up: the first run of a shape plans its memory.
	for batch := 1; batch <= poseBatch; batch++ {
		if err := pose.infer(batch); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(detector.infer(1), faces.infer(1)); err != nil {
		return 0, err
	}
	before := cpuTime()
	for _, span := range spans {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		switch span.Name() {
		case "person_detection":
			// People, then faces; no batches where detections were carried over.
			for i := range span.Int("anonymizer.inference.batches") {
				if err := []*model{detector, faces}[min(i, 1)].infer(1); err != nil {
					return 0, err
				}
			}
		case "pose_estimation":
			for people := span.Int("anonymizer.pose.people"); people > 0; people -= poseBatch {
				if err := pose.infer(min(people, poseBatch)); err != nil {
					return 0, err
				}
			}
		}
	}
	return cpuTime() - before, nil
}

// model runs on one image of random pixels, or a batch of them.
type model struct {
	*ort.DynamicAdvancedSession
	outputs       int
	height, width int
	pixels        []uint8
}

func openModel(path string, height, width int) (*model, error) {
	inputs, outputs, err := ort.GetInputOutputInfo(path)
	if err != nil {
		return nil, err
	}
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	if err := errors.Join(options.SetIntraOpNumThreads(1), options.SetInterOpNumThreads(1)); err != nil {
		return nil, err
	}
	var names []string
	for _, output := range outputs {
		names = append(names, output.Name)
	}
	session, err := ort.NewDynamicAdvancedSession(path, []string{inputs[0].Name}, names, options)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	pixels := make([]uint8, poseBatch*height*width*3)
	for i := range pixels {
		pixels[i] = uint8(rand.IntN(256))
	}
	return &model{DynamicAdvancedSession: session, outputs: len(names), height: height, width: width, pixels: pixels},
		nil
}

func (m *model) infer(batch int) error {
	shape := ort.NewShape(int64(batch), int64(m.height), int64(m.width), 3)
	input, err := ort.NewTensor(shape, m.pixels[:shape.FlattenedSize()])
	if err != nil {
		return err
	}
	defer input.Destroy()
	outputs := make([]ort.Value, m.outputs)
	if err := m.Run([]ort.Value{input}, outputs); err != nil {
		return err
	}
	for _, output := range outputs {
		err = errors.Join(err, output.Destroy())
	}
	return err
}

// cpuTime is the CPU time this process has used.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // cannot fail with these arguments
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
