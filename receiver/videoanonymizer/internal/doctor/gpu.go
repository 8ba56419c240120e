// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// oldestDriver is the oldest NVIDIA driver that runs CUDA 13 programs, such as ONNX Runtime's provider. Source: minor
// version compatibility in NVIDIA's CUDA 13 release notes.
const oldestDriver = 580

var driverVersion = regexp.MustCompile(`Kernel Module(?: for \S+)?\s+(\d+)\.([0-9.]+)`)

// gpus checks devices and drivers below root, which is / except in tests. Whether a provider, decoder or encoder works
// with them is checked by trying it: see programs.
func gpus(cfg *config.Config, root string) []Finding {
	var needs []string // keys that need an NVIDIA GPU
	cuda := cfg.Inference.Provider == "cuda" || cfg.Inference.Provider == "tensorrt"
	if cuda {
		needs = append(needs, "inference::provider")
	}
	if cfg.Tools.Decoder == media.CUDA {
		needs = append(needs, "tools::decoder")
	}
	if cfg.Output.Encoder == media.NVENC {
		needs = append(needs, "output::encoder")
	}
	findings := []Finding{nvidia(root, strings.Join(needs, ", "), cuda)}
	if cuda {
		findings = append(findings, cudaLibraries(root, anonymize.RuntimeLibrary(cfg), cfg.Inference.Provider))
	}
	if cfg.Tools.Decoder == media.VAAPI || cfg.Output.Encoder == media.VAAPI {
		findings = append(findings, vaapi(filepath.Join(root, cfg.Tools.VAAPIDevice)))
	}
	return findings
}

// nvidia looks for an NVIDIA driver and GPU. needs lists the keys that require them; "" if none does.
func nvidia(root, needs string, cuda bool) Finding {
	f := Finding{What: "NVIDIA GPU"}
	text, err := os.ReadFile(filepath.Join(root, "proc/driver/nvidia/version"))
	devices, _ := filepath.Glob(filepath.Join(root, "dev/nvidia[0-9]*"))
	version := driverVersion.FindStringSubmatch(string(text))
	switch {
	case err != nil && needs == "":
		f.Note = "no driver; the configuration needs none"
	case err != nil:
		f.Missing = fmt.Errorf("%s: no NVIDIA driver is loaded: install one, version %d or newer for inference", needs,
			oldestDriver)
	case len(devices) == 0 && needs != "":
		f.Missing = fmt.Errorf("%s: there is no /dev/nvidia0: pass the GPU to this container, or check nvidia-smi", needs)
	case version == nil:
		f.Note = fmt.Sprintf("%d, with a driver of unknown version", len(devices))
	default:
		f.Note = fmt.Sprintf("%d, driver %s.%s", len(devices), version[1], version[2])
		var major int
		if _, err := fmt.Sscan(version[1], &major); err == nil && cuda && major < oldestDriver {
			f.Missing = fmt.Errorf("inference::provider: driver %s.%s is older than %d, which CUDA 13 needs: "+
				"install a newer one", version[1], version[2], oldestDriver)
		}
	}
	return f
}

// cudaLibraries looks for the libraries that the provider next to ONNX Runtime's library is linked against.
func cudaLibraries(root, library, provider string) Finding {
	f := Finding{What: "CUDA libraries", Note: "found"}
	path := filepath.Join(filepath.Dir(library), "libonnxruntime_providers_"+provider+".so")
	file, err := elf.Open(path)
	if err != nil {
		f.Missing = fmt.Errorf("inference::provider: %w: run `make models GPU=cuda`, or set inference::library to an ONNX "+
			"Runtime that has the provider beside it", err)
		return f
	}
	defer file.Close()
	wanted, err := file.ImportedLibraries()
	if err != nil {
		f.Missing = fmt.Errorf("inference::provider: %s: %w", path, err)
		return f
	}
	cached, _ := os.ReadFile(filepath.Join(root, "etc/ld.so.cache"))
	folders := append(filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")), filepath.Dir(path))
	var missing []string
	for _, name := range wanted {
		inFolder := slices.ContainsFunc(folders, func(folder string) bool {
			_, err := os.Stat(filepath.Join(folder, name))
			return err == nil
		})
		if !inFolder && !bytes.Contains(cached, append([]byte(name), 0)) {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		f.Missing = fmt.Errorf("inference::provider: the loader does not find %s: install CUDA and cuDNN as docs/gpus.md "+
			"says, and run ldconfig or set LD_LIBRARY_PATH", strings.Join(missing, ", "))
	}
	return f
}

func vaapi(device string) Finding {
	f := Finding{What: "VA-API GPU", Note: device}
	file, err := os.OpenFile(device, os.O_RDWR, 0)
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		f.Missing = fmt.Errorf("tools::vaapi_device: %w", errors.Join(err,
			fmt.Errorf("%s must be able to open it: add it to the group render", userName())))
	}
	return f
}
