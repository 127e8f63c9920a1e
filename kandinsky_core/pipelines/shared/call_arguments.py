"""Explains the arguments that most calls share; a pipeline's `prepare` explains only its own.

A call takes P prompts or E image embeddings, makes n pictures of each, and so makes B pictures in
all. D is the width of an image embedding. A latent has C channels and h x w cells.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ARGUMENTS", "ERRORS"]

ARGUMENTS: Mapping[str, str] = {
    "prompt": "The text that describes the pictures: one prompt, a list of P, or `Prompts` that "
    "have been checked before.",
    "negative_prompt": "The text that describes what to keep out of the pictures: one for all "
    "prompts, or a list with one for each.",
    "image_embeds": "CLIP image embeddings [E, D] from the prior, or a list of such arrays.",
    "negative_image_embeds": "Unconditional image embeddings, also from the prior, in the form of "
    "`image_embeds`. They are required when `guidance_scale` is above 1.",
    "image": "The picture to start from: one PIL picture or array, a list with one for each "
    "prompt or embedding, or a batch. It is resized to `height` and `width`. "
    "`kandinsky_core.pictures.inputs` describes the forms.",
    "mask_image": "The mask, white where to repaint and black where to keep: one mask, a list, or "
    "a batch. It is resized as `image` is. `kandinsky_core.pictures.inputs.as_masks` describes "
    "the forms.",
    "hint": "The picture that fixes the layout, a depth map for example: one picture, a list, or "
    "a batch, in the same forms as `image`. It is resized to `height` and `width`.",
    "control_image": "The picture that fixes the layout, in the same forms as `image`: a depth "
    "map, a scribble or edges, whatever the ControlNet was trained for. It is resized to `height` "
    "and `width`.",
    "controlnet_conditioning_scale": "How strong the ControlNet is: one number, or a map [H, W] of "
    "any size that says it for each place. 0 leaves it without effect.",
    "control_guidance_start": "Share of the steps after which the ControlNet begins to count.",
    "control_guidance_end": "Share of the steps after which it no longer counts. Of S steps those "
    "count whose numbers are int(S * start) to int(S * end), both included.",
    "guidance_rescale": "Share of the guided prediction, from 0 to 1, that is brought back to the "
    "deviation of the conditional one; it mends colours that strong guidance burns.",
    "control_image_range": "The values that the ControlNet reads for black and for white.",
    "control_image_order": "The order in which the ControlNet reads colours: RGB or BGR.",
    "cut_context": "Whether the UNet is shown only as many tokens as the longest text has, and one "
    "more; else it is shown all 128.",
    "height": "Height of the pictures in pixels. Any height will do; None takes the size that the "
    "model was trained at.",
    "width": "Width of the pictures in pixels, as for `height`.",
    "strength": "How strongly `image` is noised before it is denoised, above 0 and up to 1. Only "
    "this share of the steps is taken. At a low strength the result stays close to `image`.",
    "num_inference_steps": "Number of denoising steps; `strength` may skip the first of them.",
    "guidance_scale": "Weight of classifier-free guidance, which pulls the pictures towards the "
    "prompt. It is off at 1 and below; a step then takes about half the time.",
    "num_images_per_prompt": "Number n of pictures for each prompt or embedding.",
    "prior_num_inference_steps": "Number of denoising steps in the prior.",
    "prior_guidance_scale": "Weight of guidance in the prior; it is off at 1 and below.",
    "generator": "Where the noise comes from: a `Generator` or an int for all pictures, or a list "
    "with one for each picture. A `Generator` runs on from call to call.",
    "seed": "An int, or a list with one for each picture, in place of `generator`. A seed is "
    "short for a fresh generator, so the same call makes the same pictures again. If neither is "
    "given, the seed is random.",
    "latents": "Initial noise [B, C, h, w], in place of noise from the generator; None draws it.",
    "output_type": "Form of the pictures: `pil` (PIL pictures), `np` (float32 [B, height, width, "
    "3] in [0, 1]), `pt` (a PyTorch tensor [B, 3, height, width], in [0, 1] for image to image "
    "and about -1 to 1 else, as in diffusers), or `latent` (latents [B, C, h, w], not decoded).",
    "return_dict": "True returns an output object with named fields, False a plain tuple.",
    "callback": "diffusers' older form of `callback_on_step_end`: `callback(step, timestep, "
    "latents)`. What it returns is ignored.",
    "callback_steps": "At how many steps `callback` is called once; None is 1.",
    "callback_on_step_end": "A function that is called after each step as `callback(pipe, step, "
    "timestep, values)`. `values` is a dict of NumPy arrays; where the module of the function has "
    "imported torch, they are tensors. The callback may return a dict of arrays, which replace "
    "the values of these names.",
    "callback_on_step_end_tensor_inputs": "Names of the arrays that the callback gets in "
    "`values`. `callback_tensor_inputs` of the pipeline lists the names to choose from. Those in "
    "`tensor_inputs` of the callback are added. `pred_original_sample` may be named too: the clean "
    "latents that the step predicted, which show what forms behind the noise.",
    "prior_callback_on_step_end": "A function that is called after each step of the prior, as "
    "`callback_on_step_end` is after each step of the decoder.",
    "prior_callback_on_step_end_tensor_inputs": "Names of the arrays that the callback of the "
    "prior gets.",
    "paste_back": "Put the kept pixels into the finished picture exactly as they were.",
    "prompt_embeds": "Encoded prompts [P, L, H] from `encode_prompt`, in place of `prompt`.",
    "negative_prompt_embeds": "Encoded negative prompts [P, L, H], in place of `negative_prompt`.",
    "attention_mask": "Mask [P, L] of `prompt_embeds`, True on tokens; required beside it.",
    "negative_attention_mask": "Mask [P, L] of `negative_prompt_embeds`; required beside it.",
    "beautify": "Expands each prompt with a language model before it is encoded. True takes "
    "neural-chat-7b-v3-1. A text names another model, by hub id or folder. A callable takes a "
    "prompt and returns the longer one. For many calls, make one "
    "`kandinsky_core.PromptBeautifier` and pass it to each.",
    "ip_adapter_image": "Pictures that the result is to resemble, beside the prompt: one picture, "
    "or a list, which is mixed. Kandinsky 3 needs a UNet with an IP-Adapter; see "
    "`load_ip_adapter`. Kandinsky 2 mixes the embeddings of pictures and prompt; see "
    "`set_ip_adapter_scale`.",
    "ip_adapter_image_embeds": "What `prepare_ip_adapter_image_embeds` returned, in place of "
    "`ip_adapter_image`.",
    "ip_adapter_weights": "One weight for each picture of `ip_adapter_image`. The weighted sum of "
    "their embeddings counts; it is not normalised. None gives all the same share of 1.",
    "decoder_negative_prompt": "Negative prompt for the decoder, where the decoder reads texts "
    "(Kandinsky 2.1): one for all prompts, or a list with one for each. None passes none, as the "
    "reference does.",
}
"""Argument of a call -> its meaning, unless the call's own `prepare` explains it."""

ERRORS: Mapping[str, str] = {
    "InvalidInputError": "An argument has the wrong kind, shape or range, or leaves nothing to "
    "do. `prepare` raises it, before any network runs.",
    "DeviceMemoryError": "The pictures surely need more memory than there is, which `prepare` "
    "finds by their size and number; or memory did not suffice in `run`.",
    "NonFiniteError": "A network returned NaN or infinity. `run` raises it.",
}
"""Every error that all calls can raise -> when they raise it."""
