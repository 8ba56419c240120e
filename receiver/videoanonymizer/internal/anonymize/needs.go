// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"context"
	"fmt"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/onnx"
)

// Need is something that a configuration needs on its machine. Err says what is missing and what to do, or is nil.
type Need struct {
	// Key is the configuration key that requires it, and Name its name.
	Key, Name string
	// Note says more about what was found.
	Note string
	Err  error
}

// Needs checks one by one what OpenTools and CheckModels check together.
func Needs(ctx context.Context, cfg *config.Config) []Need {
	return append(toolNeeds(ctx, cfg), modelNeeds(cfg)...)
}

// RuntimeLibrary returns the path of ONNX Runtime that the configuration selects, or "" if there are no models.
func RuntimeLibrary(cfg *config.Config) string {
	directory, err := models.Dir(cfg.Models.Directory)
	if err != nil {
		return ""
	}
	return runtimeLibrary(cfg, directory)
}

func toolNeeds(ctx context.Context, cfg *config.Config) []Need {
	tools, err := media.FindTools(cfg.Tools.FFmpeg, cfg.Tools.FFprobe)
	if err != nil {
		return []Need{{Key: "tools::ffmpeg", Name: "ffmpeg and ffprobe", Err: err}}
	}
	needs := []Need{
		{Key: "tools::ffmpeg", Name: "ffmpeg and ffprobe", Note: tools.FFmpeg + ", " + tools.FFprobe},
		{Key: "tools::decoder", Name: "decoder", Note: cfg.Tools.Decoder, Err: tools.CheckDecoder(ctx, readOptions(cfg, 1))},
		{Key: "output::encoder", Name: "encoder", Note: cfg.Output.Codec + " with " + cfg.Output.Encoder,
			Err: tools.CheckEncoder(ctx, encoding(cfg, 1))},
	}
	confinement := Need{Key: "tools::confine", Name: "confinement", Note: "off"}
	if tools, confinement.Err = tools.Confine(ctx, cfg.Tools.Confine, nil); confinement.Err == nil {
		holds, missing := tools.Confined()
		confinement.Note = "denied to ffmpeg: " + holds
		if missing != nil {
			confinement.Note = missing.Error()
		}
	}
	return append(needs, confinement)
}

func modelNeeds(cfg *config.Config) []Need {
	directory, err := openRuntime(cfg)
	if directory == "" {
		return []Need{{Key: "models::directory", Name: "models", Err: err}}
	}
	runtime := Need{Key: "inference::library", Name: "ONNX Runtime", Err: err}
	needs := []Need{runtime}
	if err == nil {
		needs[0].Note = onnx.Version()
		needs = append(needs, Need{Key: "inference::provider", Name: "inference", Note: "with " + cfg.Inference.Provider,
			Err: onnx.CheckProvider(sessionOptions(cfg))})
	}
	seen := map[string]bool{}
	for _, used := range allModels(cfg) {
		if !seen[used.name] {
			seen[used.name] = true
			needs = append(needs, Need{Key: used.key, Name: fmt.Sprintf("model %s", used.name), Note: "hash verified",
				Err: verifyModel(directory, used.name)})
		}
	}
	return needs
}
