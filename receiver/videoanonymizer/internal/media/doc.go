// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package media decodes and encodes video: frames as YUV planes with their presentation times. It is the only room
// that knows ffmpeg and ffprobe, which it runs as child processes: a decoder that writes raw frames into a pipe and
// their times on its stderr (filter showinfo), and an encoder that reads raw frames in an IVF wrapper, which carries a
// 64-bit time with each.
//
//	tools, err := media.FindTools("", "")
//	info, err := tools.Probe(ctx, path, media.Limits{})
//	reader, err := tools.Open(ctx, info, media.ReadOptions{})
//	writer, err := tools.Create(ctx, temp, info, media.WriteOptions{Container: media.ContainerFor(path)})
//	for {
//		frame, err := reader.Next() // io.EOF only after a whole and undamaged video
//		err = writer.Write(frame)
//		frame.Release()
//	}
//	err = writer.Finish(ctx) // verified: temp may get its name
//
// The encoder writes segments, which Finish has a second process join, with what is to be kept of the source. After Writer.Seal
// another writer and reader can go on from there, in another process, too: WriteOptions.Resume and Tools.Resume.
//
// A source is opened once per child as a file descriptor, without following a symbolic link, and only if it is a
// regular file (Linux only: by way of /proc/self/fd); ffmpeg sees neither its name nor any other file, no network, and no demuxer that could lead elsewhere.
package media
