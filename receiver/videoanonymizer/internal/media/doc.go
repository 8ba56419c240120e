// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package media decodes videos into frames, which are YUV planes with a presentation time, and encodes such frames. It
// is the only package that uses ffmpeg and ffprobe, which it runs as child processes. The decoder writes raw frames to
// a pipe and their times to stderr (filter showinfo). The encoder reads raw frames in an IVF wrapper, which carries a
// 64-bit time with each frame.
//
//	tools, err := media.FindTools("", "")
//	info, err := tools.Probe(ctx, path, media.Limits{})
//	plan, err := media.NewPlan(info, media.WriteOptions{})
//	reader, err := tools.Open(ctx, plan.Info(), media.ReadOptions{})
//	writer, err := tools.Create(ctx, temp, plan, nil)
//	for {
//		frame, err := reader.Next() // io.EOF only after a complete and undamaged video
//		err = writer.Write(frame)
//		frame.Release()
//	}
//	err = writer.Finish(ctx) // verified: temp can be renamed to its final name
//
// The encoder writes segments. Finish runs a second process that joins them and adds what is kept from the source.
// After Writer.Seal, another writer and reader can resume from that point, even in another process: use Tools.Create
// with the Progress that Seal returned, and Tools.Resume.
//
// Each child gets the source as an open file descriptor, which it opens through /proc/self/fd (Linux only). The source
// must be a regular file, and is opened without following a symbolic link. ffmpeg sees neither its name nor any other
// file, has no network, and has no demuxer that could open another file.
package media
